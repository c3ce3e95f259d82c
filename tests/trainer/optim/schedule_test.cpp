#include "trainer/optim/schedule.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace bitloop::trainer
