#include "trainer/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::trainer {
namespace {

TEST(LearningRate, WarmsUpThenFallsToTheMinimum) {
  const TrainConfig config{.steps = 100, .learning_rate = 1.0, .min_lr = 0.1, .warmup_iters = 10};
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 1.0 / 11);
  EXPECT_DOUBLE_EQ(learning_rate(config, 10), 1.0);
  EXPECT_NEAR(learning_rate(config, 55), 0.55, 1e-12);  // half way down the cosine
  EXPECT_DOUBLE_EQ(learning_rate(config, 100), 0.1);
  for (int64_t step = 11; step < 100; ++step)
    EXPECT_LT(learning_rate(config, step), learning_rate(config, step - 1));
}

TEST(LearningRate, WarmUpMayBeAbsentOrAll) {
  EXPECT_DOUBLE_EQ(
      learning_rate({.steps = 5, .learning_rate = 1.0, .min_lr = 0.1, .warmup_iters = 0}, 0), 1.0);
  EXPECT_DOUBLE_EQ(
      learning_rate({.steps = 5, .learning_rate = 1.0, .min_lr = 0.1, .warmup_iters = 9}, 4), 0.5);
}

TEST(LearningRate, MayStayAtThePeak) {
  const TrainConfig config{.steps = 100,
                           .schedule = "constant",
                           .learning_rate = 1.0,
                           .min_lr = 0.1,
                           .warmup_iters = 10};
  EXPECT_DOUBLE_EQ(learning_rate(config, 4), 5.0 / 11);
  for (const int64_t step : {10, 11, 99, 100}) EXPECT_DOUBLE_EQ(learning_rate(config, step), 1.0);
}

TEST(ShareOfQuantisation, IsOneWithoutASchedule) {
  EXPECT_FALSE(blends({}));
  for (const int64_t step : {0, 1, 1000}) EXPECT_EQ(share_of_quantisation({}, step), 1.0);
}

TEST(ShareOfQuantisation, WaitsForItsDelay) {
  EXPECT_TRUE(blends({.delay = 5}));
  EXPECT_EQ(share_of_quantisation({.delay = 5}, 4), 0.0);
  EXPECT_EQ(share_of_quantisation({.delay = 5}, 5), 1.0);
  for (const char* lambda : {"linear", "cosine", "plateau"})
    for (const int64_t step : {0, 4})
      EXPECT_EQ(share_of_quantisation({.lambda = lambda, .delay = 5, .ramp = 3}, step), 0.0);
}

TEST(ShareOfQuantisation, Ramps) {
  const QatConfig linear{.lambda = "linear", .delay = 10, .ramp = 20, .max = 0.8};
  const QatConfig cosine{.lambda = "cosine", .delay = 10, .ramp = 20, .max = 0.8};
  for (int64_t since = 0; since <= 20; ++since) {
    const double part = static_cast<double>(since) / 20;
    EXPECT_NEAR(share_of_quantisation(linear, 10 + since), 0.8 * part, 1e-12);
    EXPECT_NEAR(share_of_quantisation(cosine, 10 + since),
                0.8 * (1 - std::cos(3.14159265358979323846 * part)) / 2, 1e-12);
  }
  for (const QatConfig& config : {linear, cosine})
    EXPECT_NEAR(share_of_quantisation(config, 10'000), 0.8, 1e-12);
  EXPECT_EQ(share_of_quantisation({.lambda = "linear"}, 0), 1.0);  // no ramp: at once
}

TEST(ShareOfQuantisation, PlateausAreThoseOfTheRecipe) {
  const QatConfig recipe{.lambda = "plateau", .rise = 0.05, .every = 500, .max = 0.8};
  EXPECT_TRUE(blends(recipe));
  EXPECT_EQ(share_of_quantisation(recipe, 499), 0.0);
  EXPECT_DOUBLE_EQ(share_of_quantisation(recipe, 500), 0.05);
  EXPECT_DOUBLE_EQ(share_of_quantisation(recipe, 999), 0.05);
  EXPECT_DOUBLE_EQ(share_of_quantisation(recipe, 5'000), 0.5);
  EXPECT_DOUBLE_EQ(share_of_quantisation(recipe, 8'000), 0.8);
  EXPECT_DOUBLE_EQ(share_of_quantisation(recipe, 100'000), 0.8);
}

}  // namespace
}  // namespace bitloop::trainer
