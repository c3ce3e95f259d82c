#include "harness/baselines/curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/harness/baselines/fixture.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::baselines {
namespace {

using testing::ElementsAre;
using testing::Pair;

class CurvesTest : public testing::Test {
 protected:
  void records(const PlannedRun& run, const std::string& text) {
    const auto folder = runs_.path() / (run.session + "-" + std::to_string(run.test));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "events.jsonl") << text;
  }
  test_support::ScratchFolder runs_;
};

TEST_F(CurvesTest, AreTheEvaluationsOfRunsThatEndedOk) {
  Plan plan =
      a_trained_plan({{"ternary", 1.6, {2.25}}, {"broken", 1, {std::nullopt}}, {"gone", 1, {2.5}}});
  for (PlannedRun& run : plan.runs) run.session = "baseline";
  records(plan.runs[0],
          "{\"type\":\"header\"}\nnot JSON\n{\"type\":\"step\",\"step\":100,\"train_loss\":9}\n"
          "{\"type\":\"val\",\"step\":100,\"lambda\":0.5,\"val_loss\":2.75}\n"
          "{\"type\":\"val\",\"step\":200,\"lambda\":1,\"val_loss\":2.5}\n"
          "{\"type\":\"val\",\"step\":300,\"val_loss\":null}\n");
  records(plan.runs[1], "{\"type\":\"val\",\"step\":100,\"val_loss\":2.75}\n");
  const auto curves = read_curves(plan, runs_.path());
  ASSERT_EQ(curves.size(), 1u);
  EXPECT_EQ(curves[0].name, "ternary");
  EXPECT_EQ(curves[0].seed, 42);
  EXPECT_EQ(curves[0].final_loss, 2.25);
  EXPECT_THAT(curves[0].losses, ElementsAre(Pair(100, 2.75), Pair(200, 2.5)));
  EXPECT_THAT(curves[0].lambdas, ElementsAre(Pair(100, 0.5), Pair(200, 1)));
}

TEST_F(CurvesTest, AreWrittenALineARun) {
  Plan plan = a_plan({"ternary"}, 1);
  plan.preset["eval"] = {{"batches", 20}, {"every", 100}};
  const std::vector<Curve> curves = {{"ternary", 42, 2.25, {{100, 2.75}, {200, 2.5}}},
                                     {"twn", 43, 2.125, {{200, 2.375}}}};
  EXPECT_EQ(curves_text(plan, curves),
            "# task quick, 400 steps: val_loss of 20 batches during training, and of the whole "
            "split at the end\n"
            "name\tseed\tval_loss\tat_100\tat_200\n"
            "ternary\t42\t2.25\t2.75\t2.5\n"
            "twn\t43\t2.125\t\t2.375\n");
}

}  // namespace
}  // namespace bitloop::baselines
