#include "harness/baselines/table.h"

#include <gmock/gmock.h>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/tasks/baselines.h"
#include "tests/harness/baselines/fixture.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::baselines {
namespace {

using testing::HasSubstr;

Summary usual() {
  return summarize(a_trained_plan(
      {{"float", 32, {1.64, 1.65}}, {"ternary", 1.585, {1.78, 1.80}}, {"broken", 1.0, {{}, {}}}}));
}

std::vector<std::vector<std::string>> fields_of(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& line : split_lines(text))
    if (!line.starts_with('#')) rows.push_back(split(line, '\t'));
  return rows;
}

TEST(Table, HasALineAnEntryAndNoZeroForWhatIsMissing) {
  const auto rows = fields_of(table_text(usual()));
  ASSERT_EQ(rows.size(), 4u);
  std::map<std::string, std::map<std::string, std::string>> cells;
  for (size_t row = 1; row < rows.size(); ++row) {
    ASSERT_EQ(rows[row].size(), table_columns().size());
    for (size_t i = 0; i < rows[row].size(); ++i) cells[rows[row][0]][rows[0][i]] = rows[row][i];
  }
  EXPECT_EQ(rows[1][0], "ternary");
  EXPECT_EQ(cells["ternary"]["val_loss"], "1.79");
  EXPECT_EQ(cells["ternary"]["val_loss_sd"], "0.014142");
  EXPECT_EQ(cells["ternary"]["val_losses"], "1.78,1.8");
  EXPECT_EQ(cells["ternary"]["to_ternary"], "");
  EXPECT_EQ(cells["ternary"]["to_float"], "0.145");
  EXPECT_EQ(cells["ternary"]["to_float_in_se"], "29");
  EXPECT_EQ(cells["ternary"]["pareto"], "true");
  EXPECT_EQ(cells["ternary"]["date"], "2026-01-02");
  EXPECT_EQ(cells["ternary"]["version"], "1.0+abc");
  EXPECT_EQ(cells["broken"]["seeds"], "0");
  EXPECT_EQ(cells["broken"]["statuses"], "diverged:2");
  for (const char* column : {"bits_per_weight", "val_loss", "val_loss_sd", "val_loss_min",
                             "to_ternary", "to_float_in_se", "tokens_per_s", "params"})
    EXPECT_EQ(cells["broken"][column], "") << column;
  EXPECT_EQ(cells["broken"]["val_losses"], ",");
}

TEST(Table, SaysWhatItIsOf) {
  const std::string text = table_text(usual());
  EXPECT_THAT(text, HasSubstr("# task quick, 400 steps, seeds 42,43\n"));
  EXPECT_THAT(text, HasSubstr("# noise floor: 0.01118 nats/token"));
  EXPECT_EQ(text, table_text(usual()));
}

TEST(Table, HostileTextStaysInItsField) {
  Plan plan = a_trained_plan({{"ternary", 1.585, {1.78, 1.80}}});
  for (PlannedRun& run : plan.runs) run.done->row.description = "a\tb\n# c\x01\xff";
  const auto rows = fields_of(table_text(summarize(plan)));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].size(), table_columns().size());
  EXPECT_EQ(rows[1].back(), "a b # c \xEF\xBF\xBD");
}

TEST(Table, AsJsonMissingNumbersAreNull) {
  const auto document = table_json(usual());
  EXPECT_EQ(document["task"], "quick");
  EXPECT_EQ(document["seeds"], nlohmann::ordered_json({42, 43}));
  EXPECT_NEAR(document["noise_floor"].get<double>(), 0.0111803, 1e-6);
  const auto& broken = document["baselines"][2];
  EXPECT_EQ(broken["name"], "broken");
  EXPECT_TRUE(broken["val_loss"].is_null());
  EXPECT_TRUE(broken["val_losses"][0].is_null());
  EXPECT_EQ(broken["pareto"], false);
  EXPECT_EQ(broken.size(), table_columns().size());
}

TEST(Table, ForPeopleMarksTheParetoOptimal) {
  const std::string text = table_for_people(usual());
  EXPECT_THAT(text, HasSubstr("\n* ternary "));
  EXPECT_THAT(text, HasSubstr("\n* float "));
  EXPECT_THAT(text, HasSubstr("\n  broken "));
  EXPECT_THAT(text, HasSubstr("Noise floor: 0.0112"));
}

// What is written is what a task reads.
TEST(Table, IsReadBackByTheTask) {
  const test_support::ScratchFolder folder;
  std::filesystem::create_directories(folder / "baselines");
  ASSERT_TRUE(write_file_atomic(folder / "baselines/quick.tsv", table_text(usual())));
  const auto table = tasks::load_baselines(folder.path(), "quick");
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_EQ(table->baselines.size(), 3u);
  EXPECT_EQ(table->find("ternary")->val_loss, 1.79);
  EXPECT_EQ(table->find("ternary")->seeds, 2u);
  EXPECT_FALSE(table->find("broken")->val_loss);
  EXPECT_NEAR(table->noise_floor->sd, usual().noise_floor->sd, 1e-6);
  EXPECT_EQ(table->noise_floor->degrees_of_freedom, 2u);
}

TEST(Table, EveryColumnIsDocumented) {
  const std::string readme =
      read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "results/baselines/README.md").value();
  for (const TableColumn& column : table_columns()) {
    const std::string line = "| `" + std::string(column.name) + "` | " + column.unit +
                             (*column.unit ? " | " : "| ") + column.doc + " |";
    EXPECT_THAT(readme, HasSubstr(line));
  }
}

}  // namespace
}  // namespace bitloop::baselines
