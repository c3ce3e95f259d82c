#include "harness/ledger/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "harness/base/text.h"

namespace bitloop::ledger {
namespace {

using Flags = std::vector<std::string>;

constexpr Column kColumns[] = {
    {"time", "UTC", "when the test ended, ISO 8601 with milliseconds", false, &Row::time},
    {"session", "", "the session's id; `local`, `baseline` or `verify` for the command line", false,
     &Row::session},
    {"test", "", "number of the test in its session, from 1", false, &Row::test},
    {"commit", "", "the journal's commit that was tested", false, &Row::commit},
    {"type", "",
     "`agent`, `baseline`, `local` or `verify` (a submission under a seed that its agent did not "
     "know; `description` names the test: `verifies fair-seal-a9e2/2`)",
     false, &Row::type},
    {"agent", "", "who worked in the session, as it named itself", false, &Row::agent},
    {"task", "", "the task's name", false, &Row::task},
    {"quantizer", "", "what the candidate started from; the file's name for the command line",
     false, &Row::quantizer},
    {"status", "",
     "`ok`, `script_error`, `rejected`, `diverged`, `timeout`, `out_of_memory`, `violation`, "
     "`stopped_early`, `cancelled` or `infrastructure`",
     false, &Row::status},
    {"flags", "",
     "what a reader must know, joined by commas: `leaks` (activation scales across rows), "
     "`degraded` (a layer of the jail was missing), `limited` (benchmarks on some of their "
     "documents), `context_blind` (the model has learned, and ignores all but the last token), "
     "`dead_layers` (some layers do nothing)",
     false, &Row::flags},
    {"val_loss", "nats/token", "validation loss at lambda 1", true, &Row::val_loss},
    {"val_bpb", "bits/byte", "the same per UTF-8 byte", true, &Row::val_bpb},
    {"wikitext2_ppl", "", "block perplexity on WikiText-2", true, &Row::wikitext2_ppl},
    {"lambada_ppl", "", "block perplexity on LAMBADA", true, &Row::lambada_ppl},
    {"arc_easy", "%", "accuracy on ARC-Easy", true, &Row::arc_easy},
    {"hellaswag", "%", "accuracy on HellaSwag", true, &Row::hellaswag},
    {"piqa", "%", "accuracy on PIQA", true, &Row::piqa},
    {"winogrande", "%", "accuracy on WinoGrande", true, &Row::winogrande},
    {"bits_per_weight", "bits", "declared: log2(levels) and everything else that evaluation needs",
     true, &Row::bits_per_weight},
    {"packed_bits_per_weight", "bits", "the same tensors' payload in the packed file", true,
     &Row::packed_bits_per_weight},
    {"params", "", "parameters of the model", true, &Row::params},
    {"tokens", "", "tokens trained on", true, &Row::tokens},
    {"train_s", "s", "wall time of training", true, &Row::train_s},
    {"tokens_per_s", "tokens/s", "training throughput", true, &Row::tokens_per_s},
    {"peak_memory_mb", "MiB", "largest resident set of the run; on a GPU, of its memory", true,
     &Row::peak_memory_mb},
    {"device", "", "what it ran on", false, &Row::device},
    {"precision", "", "of the training products: `float32`, `bfloat16`", false, &Row::precision},
    {"ranks", "", "processes that trained together", false, &Row::ranks},
    {"seed", "", "of the initial weights and the order of the data", false, &Row::seed},
    {"version", "", "bitloop's version and commit", false, &Row::version},
    {"q_neg1", "", "share of codes below zero", true, &Row::q_neg1},
    {"q_zero", "", "share of codes at zero", true, &Row::q_zero},
    {"q_pos1", "", "share of codes above zero", true, &Row::q_pos1},
    {"submitted", "", "`true` for the test that its session submitted, else `false`", false,
     &Row::submitted},
    {"description", "", "the test's description, else the quantizer's `doc`", false,
     &Row::description},
};

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

std::unexpected<Error> malformed(const Column& column, std::string_view text,
                                 std::string_view wanted) {
  return fail("ledger_malformed", fmt::format("column {} holds '{}' where {} belongs", column.name,
                                              single_line(text.substr(0, 100)), wanted));
}

// A flag is a word: whatever would take the comma list apart is left out.
Flags parse_flags(std::string_view text) {
  Flags flags;
  for (const std::string& part : split(text, ','))
    if (std::string flag = single_line(part); !flag.empty()) flags.push_back(std::move(flag));
  return flags;
}

template <typename T>
bool read_number(std::string_view text, T& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

std::string render_field(const Row& row, const Column& column) {
  return std::visit(
      Overloaded{
          [&](std::string Row::*field) { return single_line(row.*field); },
          [&](Flags Row::*field) { return join(parse_flags(join(row.*field, ",")), ","); },
          [&](Number Row::*field) { return row.*field ? format_number(*(row.*field)) : ""; },
          [&](Integer Row::*field) { return row.*field ? std::to_string(*(row.*field)) : ""; },
          [&](bool Row::*field) -> std::string { return row.*field ? "true" : "false"; },
      },
      column.field);
}

Status parse_field(Row& row, const Column& column, const std::string& text) {
  return std::visit(Overloaded{
                        [&](std::string Row::*field) -> Status {
                          row.*field = text;
                          return {};
                        },
                        [&](Flags Row::*field) -> Status {
                          row.*field = parse_flags(text);
                          return {};
                        },
                        [&](Number Row::*field) -> Status {
                          double value = 0;
                          if (text.empty()) return {};
                          if (!read_number(text, value) || !std::isfinite(value))
                            return malformed(column, text, "a number");
                          row.*field = value;
                          return {};
                        },
                        [&](Integer Row::*field) -> Status {
                          int64_t value = 0;
                          if (text.empty()) return {};
                          if (!read_number(text, value))
                            return malformed(column, text, "a whole number");
                          row.*field = value;
                          return {};
                        },
                        [&](bool Row::*field) -> Status {
                          if (text != "true" && text != "false")
                            return malformed(column, text, "true or false");
                          row.*field = text == "true";
                          return {};
                        },
                    },
                    column.field);
}

nlohmann::json field_to_json(const Row& row, const Column& column) {
  return std::visit(
      Overloaded{
          [&](std::string Row::*field) -> nlohmann::json { return single_line(row.*field); },
          [&](Flags Row::*field) -> nlohmann::json { return parse_flags(join(row.*field, ",")); },
          [&](Number Row::*field) -> nlohmann::json {
            if (!(row.*field) || !std::isfinite(*(row.*field))) return nullptr;
            return *(row.*field);
          },
          [&](Integer Row::*field) -> nlohmann::json {
            if (!(row.*field)) return nullptr;
            return *(row.*field);
          },
          [&](bool Row::*field) -> nlohmann::json { return row.*field; },
      },
      column.field);
}

Status field_from_json(Row& row, const Column& column, const nlohmann::json& value) {
  auto wrong = [&](std::string_view wanted) {
    return malformed(column, value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace),
                     wanted);
  };
  return std::visit(
      Overloaded{
          [&](std::string Row::*field) -> Status {
            if (!value.is_string()) return wrong("text");
            row.*field = single_line(value.get<std::string>());
            return {};
          },
          [&](Flags Row::*field) -> Status {
            const bool list = value.is_array() && std::ranges::all_of(value, [](const auto& flag) {
                                return flag.is_string();
                              });
            if (!list) return wrong("a list of words");
            row.*field = parse_flags(join(value.get<Flags>(), ","));
            return {};
          },
          [&](Number Row::*field) -> Status {
            if (!value.is_number() && !value.is_null()) return wrong("a number or null");
            row.*field = value.is_null() ? Number() : value.get<double>();
            if (row.*field && !std::isfinite(*(row.*field))) row.*field = std::nullopt;
            return {};
          },
          [&](Integer Row::*field) -> Status {
            if (value.is_null()) {
              row.*field = std::nullopt;
            } else if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
              return wrong("a whole number below 2^63 or null");
            } else if (value.is_number_integer()) {
              row.*field = value.get<int64_t>();
            } else if (const double number = value.is_number() ? value.get<double>() : 0.5;
                       std::abs(number) < 9e15 && number == std::floor(number)) {
              row.*field = static_cast<int64_t>(number);  // 1e6, as JSON may write a count
            } else {
              return wrong("a whole number or null");
            }
            return {};
          },
          [&](bool Row::*field) -> Status {
            if (!value.is_boolean()) return wrong("true or false");
            row.*field = value.get<bool>();
            return {};
          },
      },
      column.field);
}

}  // namespace

std::span<const Column> columns() { return kColumns; }

const Column* find_column(std::string_view name) {
  const auto* found = std::ranges::find(
      kColumns, name, [](const Column& column) { return std::string_view(column.name); });
  return found == std::end(kColumns) ? nullptr : found;
}

std::string field_text(const Row& row, const Column& column) { return render_field(row, column); }

std::string header_line() {
  std::vector<std::string> names;
  for (const Column& column : kColumns) names.emplace_back(column.name);
  return join(names, "\t");
}

std::string render_line(const Row& row) {
  std::vector<std::string> fields;
  for (const Column& column : kColumns) fields.push_back(render_field(row, column));
  return join(fields, "\t");
}

Result<Row> parse_line(std::string_view line) {
  const std::vector<std::string> fields = split(line, '\t');
  if (fields.size() != std::size(kColumns))
    return fail("ledger_malformed", fmt::format("the line has {} fields where {} belong",
                                                fields.size(), std::size(kColumns)));
  Row row;
  for (size_t i = 0; i < fields.size(); ++i) BITLOOP_TRY(parse_field(row, kColumns[i], fields[i]));
  return row;
}

std::string_view field_of_line(std::string_view line, const Column& column) {
  const auto index = &column - std::begin(kColumns);
  for (std::ptrdiff_t i = 0; i < index; ++i) {
    const size_t tab = line.find('\t');
    if (tab == std::string_view::npos) return "";
    line.remove_prefix(tab + 1);
  }
  return line.substr(0, line.find('\t'));
}

nlohmann::json to_json(const Row& row) {
  nlohmann::json json = nlohmann::json::object();
  for (const Column& column : kColumns) json[column.name] = field_to_json(row, column);
  return json;
}

Result<Row> row_from_json(const nlohmann::json& json) {
  if (!json.is_object()) return fail("ledger_malformed", "a row must be a JSON object");
  Row row;
  for (const auto& [name, value] : json.items()) {
    const Column* column = find_column(name);
    if (!column)
      return fail("ledger_malformed", fmt::format("a row has no column '{}'", single_line(name)));
    BITLOOP_TRY(field_from_json(row, *column, value));
  }
  return row;
}

nlohmann::json metrics_json(const Row& row) {
  nlohmann::json json = nlohmann::json::object();
  for (const Column& column : kColumns)
    if (column.metric) json[column.name] = field_to_json(row, column);
  return json;
}

Status set_metrics(Row& row, const nlohmann::json& metrics) {
  if (!metrics.is_object()) return fail("ledger_malformed", "metrics must be a JSON object");
  Row changed = row;
  for (const Column& column : kColumns)
    if (column.metric && metrics.contains(column.name))
      BITLOOP_TRY(field_from_json(changed, column, metrics[column.name]));
  row = std::move(changed);
  return {};
}

}  // namespace bitloop::ledger
