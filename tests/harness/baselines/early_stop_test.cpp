#include "harness/baselines/early_stop.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::baselines {
namespace {

// Of 400 steps: at 100, 200, 300 and 400, each `above` the end.
Curve a_curve(const std::string& name, int64_t seed, double end, double above = 0.0) {
  Curve curve{name, seed, end, {}};
  for (int64_t step = 100; step <= 400; step += 100)
    curve.losses[step] = end + above + 1.0 - static_cast<double>(step) / 400;
  return curve;
}

const tasks::EarlyStopRule kRule{"binary", 3, 0.5, 2};

std::vector<Curve> two_seeds_of_binary() {
  return {a_curve("binary", 42, 2.00), a_curve("binary", 43, 2.02)};
}

TEST(EarlyStop, LimitsAreTheBaselinesMeanAndTheNoise) {
  const auto stop = measure_early_stop(kRule, 400, two_seeds_of_binary());
  ASSERT_TRUE(stop) << stop.error().message;
  // Neither before half of the steps nor at the last one.
  ASSERT_EQ(stop->limits.size(), 2u);
  EXPECT_EQ(stop->limits[0].step, 200);
  EXPECT_EQ(stop->limits[1].step, 300);
  EXPECT_NEAR(stop->limits[0].baseline, 2.51, 1e-12);
  // The sample's deviation of two values 0.02 apart, one degree of freedom: t is tan(0.475 pi).
  const double noise = 12.7062047 * (0.02 / std::sqrt(2.0)) * std::sqrt(1.5);
  EXPECT_NEAR(stop->limits[0].val_loss, 2.51 + 3 * noise, 1e-6);
}

TEST(EarlyStop, TheNoiseIsThatOfAllCandidates) {
  std::vector<Curve> curves = two_seeds_of_binary();
  const double alone = measure_early_stop(kRule, 400, curves)->limits[0].val_loss;
  for (int64_t seed = 42; seed < 52; ++seed)
    curves.push_back(a_curve("ternary", seed, 1.9 + 0.001 * static_cast<double>(seed - 42)));
  const auto stop = measure_early_stop(kRule, 400, curves);
  EXPECT_NEAR(stop->limits[0].baseline, 2.51, 1e-12);
  EXPECT_LT(stop->limits[0].val_loss, alone);
}

TEST(EarlyStop, CountsWhatTheRuleWouldHaveDone) {
  std::vector<Curve> curves;
  for (int64_t seed = 42; seed < 52; ++seed)
    curves.push_back(a_curve("binary", seed, 2.0 + 0.001 * static_cast<double>(seed % 2)));
  curves.push_back(a_curve("hopeless", 42, 3.0));
  curves.push_back(a_curve("late", 42, 1.9, 0.5));  // behind all the way, then the best
  Curve once = a_curve("once", 42, 2.0);
  once.losses[200] = 9;  // one bad evaluation is not two in a row
  curves.push_back(once);
  Curve warming = a_curve("warming", 42, 2.0, 1.0);  // quantisation is turned up until the end
  warming.lambdas = {{200, 0.5}, {300, 0.9}, {400, 1.0}};
  curves.push_back(warming);
  const auto stop = measure_early_stop(kRule, 400, curves);
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->record.runs, 14u);
  EXPECT_EQ(stop->record.stopped, 2u);      // hopeless and late
  EXPECT_EQ(stop->record.false_stops, 1u);  // late
  // Both at step 300 of 400.
  EXPECT_NEAR(stop->record.steps_saved, 2 * 0.25 / 14, 1e-12);
}

TEST(EarlyStop, NeedsTheBaselineAndTwoSeedsOfSomething) {
  for (const std::vector<Curve>& curves :
       {std::vector<Curve>{},
        {a_curve("binary", 42, 2)},
        {a_curve("ternary", 42, 2), a_curve("ternary", 43, 2)}}) {
    const auto stop = measure_early_stop(kRule, 400, curves);
    ASSERT_FALSE(stop);
    EXPECT_EQ(stop.error().code, "no_curves");
    EXPECT_NE(stop.error().message.find("binary"), std::string::npos);
  }
}

}  // namespace
}  // namespace bitloop::baselines
