#include "harness/tasks/baselines.h"

#include <gmock/gmock.h>

#include "harness/tasks/tasks.h"
#include "tests/harness/tasks/fixture.h"

namespace bitloop::tasks {
namespace {

using testing::HasSubstr;

constexpr const char* kHeader = "name\tval_loss\tbits_per_weight\tseeds\tval_loss_sd\tnew\n";

class BaselinesTest : public ::testing::Test {
 protected:
  void table(const std::string& rows, const char* task = "quick") {
    std::filesystem::create_directories(share_.path() / "baselines");
    share_.write("baselines/" + std::string(task) + ".tsv", rows);
  }
  std::string error(const std::string& rows) {
    table(rows);
    const auto read = load_baselines(share_.path(), "quick");
    if (read) return "";
    EXPECT_EQ(read.error().code, "bad_baselines");
    return read.error().message;
  }
  Share share_;
};

TEST_F(BaselinesTest, NoFileNoBaselines) {
  const auto read = load_baselines(share_.path(), "quick");
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->baselines.empty());
  EXPECT_FALSE(read->noise_floor);
  const std::vector<Task> tasks = load_tasks(share_.path()).value();
  for (const Task& task : tasks) EXPECT_TRUE(to_json(task)["noise_floor"].is_null());
}

TEST_F(BaselinesTest, ATaskShowsItsTableAndTheNoiseFloor) {
  table(std::string("# words\n") + kHeader + "ternary\t2.25\t1.585\t3\t0.003\tx\n" +
        "float\t2\t32\t2\t0.006\t\nbroken\t\t\t0\t\t\nonce\t2.5\t1\t1\t\t\n");
  const std::vector<Task> tasks = load_tasks(share_.path()).value();
  for (const Task& task : tasks) {
    const auto shown = to_json(task);
    if (task.name != "quick") {
      EXPECT_TRUE(shown["baselines"].empty());
      continue;
    }
    ASSERT_EQ(shown["baselines"].size(), 4u);
    EXPECT_EQ(shown["baselines"][0], nlohmann::json({{"name", "ternary"},
                                                     {"bits_per_weight", 1.585},
                                                     {"val_loss", 2.25},
                                                     {"val_loss_sd", 0.003},
                                                     {"seeds", 3},
                                                     {"source", "measured"}}));
    EXPECT_TRUE(shown["baselines"][2]["val_loss"].is_null());
    // The root of (2 * 0.003^2 + 1 * 0.006^2) / 3.
    EXPECT_NEAR(shown["noise_floor"].get<double>(), 0.00424264, 1e-8);
  }
}

TEST_F(BaselinesTest, AMistakeIsNamedByFileAndLine) {
  EXPECT_THAT(error("name\tval_loss\n"), HasSubstr("quick.tsv line 1: there is no column bits"));
  EXPECT_THAT(error(std::string("#\n") + kHeader + "a\t1\n"), HasSubstr("line 3: 2 fields"));
  EXPECT_THAT(error(std::string(kHeader) + "a\tfast\t1\t3\t\t\n"),
              HasSubstr("val_loss is not a number: fast"));
  EXPECT_THAT(error(std::string(kHeader) + "a\tnan\t1\t3\t\t\n"), HasSubstr("not a number"));
  EXPECT_THAT(error(std::string(kHeader) + "a\t1\t1\t\t\t\n"), HasSubstr("number of seeds"));
  EXPECT_THAT(error(std::string(kHeader) + "a\t1\t1\t-1\t\t\n"), HasSubstr("number of seeds"));
  EXPECT_THAT(error(std::string(kHeader) + "\t1\t1\t1\t\t\n"), HasSubstr("a row needs a name"));
  EXPECT_EQ(load_tasks(share_.path()).error().code, "bad_baselines");
}

}  // namespace
}  // namespace bitloop::tasks
