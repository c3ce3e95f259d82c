#include "trainer/loop/early_stop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

const EarlyStop kRule{"binary", 2, {{100, {2.5, 2.25}}, {200, {2.0, 1.875}}, {300, {1.75, 1.5}}}};

TEST(EarlyStopWatch, StopsAfterSoManyInARow) {
  EarlyStopWatch watch(kRule);
  EXPECT_FALSE(watch.is_hopeless(100, 1, 2.6));
  EXPECT_TRUE(watch.is_hopeless(200, 1, 2.1));
  const std::string sentence = watch.sentence(400);
  for (const char* part :
       {"step 200 of 400", "2.1000", "2.0000", "binary had 1.8750", "2 evaluations"})
    EXPECT_THAT(sentence, HasSubstr(part));
}

TEST(EarlyStopWatch, AGoodEvaluationBeginsTheCountAgain) {
  EarlyStopWatch watch(kRule);
  EXPECT_FALSE(watch.is_hopeless(100, 1, 2.6));
  EXPECT_FALSE(watch.is_hopeless(200, 1, 2.0));  // the limit itself goes on
  EXPECT_FALSE(watch.is_hopeless(300, 1, 1.9));
}

TEST(EarlyStopWatch, CountsNeitherOtherStepsNorAQuantiserThatIsBeingTurnedUp) {
  EarlyStopWatch watch(kRule);
  EXPECT_FALSE(watch.is_hopeless(50, 1, 9));
  EXPECT_FALSE(watch.is_hopeless(100, 1, 9));
  EXPECT_FALSE(watch.is_hopeless(150, 1, 9));
  EXPECT_FALSE(watch.is_hopeless(200, 0.5, 9));
  EXPECT_TRUE(watch.is_hopeless(300, 1, 9));
}

TEST(EarlyStopWatch, NoNumberIsAboveEveryLimit) {
  EarlyStopWatch watch(kRule);
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(watch.is_hopeless(100, 1, kNone));
  EXPECT_TRUE(watch.is_hopeless(200, 1, kNone));
}

TEST(EarlyStopWatch, WithoutLimitsNothingIsHopeless) {
  const EarlyStop none;
  EarlyStopWatch watch(none);
  for (int64_t step = 100; step < 1000; step += 100) EXPECT_FALSE(watch.is_hopeless(step, 1, 1e9));
}

}  // namespace
}  // namespace bitloop::trainer
