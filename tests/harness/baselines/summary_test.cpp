#include "harness/baselines/summary.h"

#include <gmock/gmock.h>

#include "tests/harness/baselines/fixture.h"

namespace bitloop::baselines {
namespace {

using testing::ElementsAre;

std::vector<std::string> names(const Summary& summary, bool pareto_only) {
  std::vector<std::string> list;
  for (const Entry& entry : summary.entries)
    if (!pareto_only || entry.pareto) list.push_back(entry.name);
  return list;
}

Summary usual() {
  return summarize(a_trained_plan({{"float", 32, {1.64, 1.65}},
                                   {"ternary", 1.585, {1.78, 1.79}},
                                   {"worse", 1.7, {1.80, 1.81}},
                                   {"better", 1.585, {1.75, 1.77}},
                                   {"shaky", 1.0, {1.5, {}}},
                                   {"broken", 1.0, {{}, {}}},
                                   {"two", 2.1, {1.72, 1.73}}}));
}

TEST(Summary, IsInTheOrderOfBitsThenLoss) {
  EXPECT_THAT(names(usual(), false),
              ElementsAre("shaky", "better", "ternary", "worse", "two", "float", "broken"));
}

TEST(Summary, ParetoNeedsAllSeeds) {
  EXPECT_THAT(names(usual(), true), ElementsAre("better", "two", "float"));
}

TEST(Summary, ATinyDifferenceInBitsIsNone) {
  EXPECT_THAT(
      names(summarize(a_trained_plan({{"row", 1.5852, {1.7, 1.7}}, {"layer", 1.5850, {1.8, 1.8}}})),
            true),
      ElementsAre("row"));
}

TEST(Summary, DifferencesArePairedAndLackTheReferenceItself) {
  const Summary summary = usual();
  const Entry* better = summary.find("better");
  EXPECT_NEAR(better->to_ternary->mean, -0.025, 1e-12);
  EXPECT_NEAR(*better->to_ternary->standard_error, 0.005, 1e-12);
  EXPECT_NEAR(better->to_float->mean, 0.115, 1e-12);
  EXPECT_FALSE(summary.find("ternary")->to_ternary);
  EXPECT_FALSE(summary.find("float")->to_float);
  EXPECT_EQ(summary.find("shaky")->to_ternary->pairs, 1u);
  EXPECT_FALSE(summary.find("broken")->to_ternary);
  EXPECT_EQ(summary.find("nobody"), nullptr);
}

TEST(Summary, CountsStatusesAndKeepsWhatIsMissingMissing) {
  const Summary summary = usual();
  EXPECT_EQ(summary.find("shaky")->statuses(), "diverged:1,ok:1");
  EXPECT_EQ(summary.find("shaky")->val_loss->count, 1u);
  const Entry* broken = summary.find("broken");
  EXPECT_EQ(broken->statuses(), "diverged:2");
  EXPECT_FALSE(broken->val_loss || broken->bits_per_weight || broken->tokens_per_s);
  EXPECT_EQ(summary.noise_floor->degrees_of_freedom, 5u);  // five with two seeds
}

TEST(Summary, RunsThatHaveNotEndedAreMissing) {
  Plan plan = a_trained_plan({{"ternary", 1.585, {1.78, 1.79}}});
  plan.runs[1].done.reset();
  const Summary summary = summarize(plan);
  EXPECT_EQ(summary.entries[0].statuses(), "ok:1");
  EXPECT_FALSE(summary.entries[0].pareto);
  EXPECT_FALSE(summary.noise_floor);
}

}  // namespace
}  // namespace bitloop::baselines
