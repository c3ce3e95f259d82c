#include "harness/ledger/row.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/harness/ledger/fixture.h"

namespace bitloop::ledger {
namespace {

using testing::HasSubstr;

TEST(Row, HasTheColumnsOfTheContractInOrder) {
  std::string names = header_line();
  for (char& c : names)
    if (c == '\t') c = ' ';
  EXPECT_EQ(
      names,
      "time session test commit type agent task quantizer status flags val_loss val_bpb "
      "wikitext2_ppl lambada_ppl arc_easy hellaswag piqa winogrande bits_per_weight "
      "packed_bits_per_weight params tokens train_s tokens_per_s peak_memory_mb device precision "
      "ranks seed version q_neg1 q_zero q_pos1 submitted description");
}

TEST(Row, ReadmeDocumentsEveryColumn) {
  const std::string readme = read_file(BITLOOP_SOURCE_DIR "/results/README.md").value();
  std::string table = "| column | unit | meaning |\n|---|---|---|\n";
  for (const Column& column : columns())
    table += std::string("| `") + column.name + "` | " +
             (*column.unit ? column.unit + std::string(" ") : "") + "| " + column.doc + " |\n";
  EXPECT_THAT(readme, HasSubstr(table)) << "results/README.md and columns() differ";
}

TEST(Row, ReadsBackFromItsLine) {
  const Row row = make_row("brave-otter", 2);
  EXPECT_EQ(parse_line(render_line(row)).value(), row);
  EXPECT_THAT(render_line(row), HasSubstr("\tleaks,degraded\t2.3178\t\t\t"));
  EXPECT_THAT(render_line(row), HasSubstr("\t0.30000000000000004\t"));
  EXPECT_EQ(parse_line(render_line(Row{})).value(), Row{});
}

TEST(Row, AMissingNumberIsEmptyAndNull) {
  Row row;
  EXPECT_EQ(render_line(row), std::string(33, '\t') + "false\t");
  row.val_loss = std::numeric_limits<double>::quiet_NaN();
  row.val_bpb = std::numeric_limits<double>::infinity();
  EXPECT_EQ(render_line(row), std::string(33, '\t') + "false\t");
  EXPECT_TRUE(to_json(row)["val_loss"].is_null());
  EXPECT_TRUE(to_json(row)["val_bpb"].is_null());
  EXPECT_TRUE(to_json(row)["test"].is_null());
  row.val_loss = 0.0;
  EXPECT_THAT(render_line(row), HasSubstr("\t0\t"));
}

TEST(Row, TextCannotBreakTheLine) {
  Row row = make_row("s", 1);
  row.description = "a\tb\nc\r\nd\x1b[2J\xff e\u2028f\t";
  row.agent = "\n\t";
  row.flags = {"a\tb", "c,d", "", "\n"};
  const std::string line = render_line(row);
  EXPECT_EQ(split(line, '\t').size(), columns().size());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Row read = parse_line(line).value();
  EXPECT_EQ(read.description, "a b c  d [2J\ufffd e f");
  EXPECT_EQ(read.agent, "");
  EXPECT_EQ(read.flags, (std::vector<std::string>{"a b", "c", "d"}));
  EXPECT_EQ(render_line(read), line);
  EXPECT_EQ(row_from_json(to_json(row)).value(), read);
}

TEST(Row, RefusesLinesThatAreNone) {
  const std::string good = render_line(make_row("s", 1));
  auto with = [&](std::string_view name, std::string value) {
    std::vector<std::string> fields = split(good, '\t');
    fields[static_cast<size_t>(find_column(name) - columns().data())] = std::move(value);
    return parse_line(join(fields, "\t"));
  };
  EXPECT_TRUE(with("val_loss", "1e-3"));
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"val_loss", "1.2x"},
                                                                  {"val_loss", " 1"},
                                                                  {"val_loss", "nan"},
                                                                  {"val_loss", "inf"},
                                                                  {"val_loss", "1,2"},
                                                                  {"test", "1.5"},
                                                                  {"test", "99999999999999999999"},
                                                                  {"test", "x"},
                                                                  {"submitted", ""},
                                                                  {"submitted", "1"}}) {
    auto row = with(name, value);
    ASSERT_FALSE(row) << name << " " << value;
    EXPECT_EQ(row.error().code, "ledger_malformed");
    EXPECT_THAT(row.error().message, HasSubstr(name));
  }
  for (const std::string& line :
       {std::string(), good + "\t", good.substr(0, good.size() / 2), header_line()})
    EXPECT_EQ(parse_line(line).error().code, "ledger_malformed") << line;
}

TEST(Row, ReadsBackFromJson) {
  const Row row = make_row("s", 1);
  const nlohmann::json json = to_json(row);
  EXPECT_EQ(json.size(), columns().size());
  EXPECT_EQ(json["flags"], nlohmann::json({"leaks", "degraded"}));
  EXPECT_EQ(json["submitted"], false);
  EXPECT_EQ(row_from_json(nlohmann::json::parse(json.dump())).value(), row);
  EXPECT_EQ(row_from_json(nlohmann::json::object()).value(), Row{});
  EXPECT_EQ(row_from_json({{"params", 1e6}})->params, 1'000'000);
}

TEST(Row, RefusesJsonOfTheWrongShape) {
  for (const char* text :
       {"[]", "null", "{\"nope\":1}", "{\"val_loss\":\"1\"}", "{\"test\":1.5}", "{\"test\":\"1\"}",
        "{\"test\":1e300}", "{\"test\":18446744073709551615}", "{\"flags\":\"leaks\"}",
        "{\"flags\":[1]}", "{\"submitted\":1}", "{\"session\":null}", "{\"session\":[]}"}) {
    auto row = row_from_json(nlohmann::json::parse(text));
    ASSERT_FALSE(row) << text;
    EXPECT_EQ(row.error().code, "ledger_malformed");
  }
}

TEST(Row, TakesMetricsButNothingElse) {
  Row row = make_row("s", 1);
  const nlohmann::json metrics = {{"val_loss", 1.5},   {"val_bpb", nullptr},  {"step", 400},
                                  {"train_loss", 2.0}, {"session", "forged"}, {"submitted", true},
                                  {"status", "ok"},    {"tokens", 819200}};
  ASSERT_TRUE(set_metrics(row, metrics));
  EXPECT_EQ(row.val_loss, 1.5);
  EXPECT_EQ(row.tokens, 819'200);
  EXPECT_EQ(row.session, "s");
  EXPECT_FALSE(row.submitted);
  EXPECT_EQ(metrics_json(row)["val_loss"], 1.5);
  EXPECT_TRUE(metrics_json(row)["winogrande"].is_null());
  EXPECT_FALSE(metrics_json(row).contains("session"));
  const Row before = row;
  EXPECT_EQ(set_metrics(row, {{"tokens", 1}, {"val_loss", "low"}}).error().code,
            "ledger_malformed");
  EXPECT_EQ(set_metrics(row, nullptr).error().code, "ledger_malformed");
  EXPECT_EQ(row, before);
}

TEST(Row, AColumnIsFoundInALineWithoutTakingItApart) {
  const Row row = make_row("a", 1);
  const std::string line = render_line(row);
  for (const Column& column : columns())
    EXPECT_EQ(field_of_line(line, column), field_text(row, column)) << column.name;
  EXPECT_EQ(field_of_line("2026\tme", *find_column("time")), "2026");
  EXPECT_EQ(field_of_line("2026\tme", *find_column("session")), "me");
  EXPECT_EQ(field_of_line("2026\tme", *find_column("description")), "");
}

}  // namespace
}  // namespace bitloop::ledger
