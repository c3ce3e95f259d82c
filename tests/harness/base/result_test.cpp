#include "harness/base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace bitloop {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return fail("odd", "an odd number");
  return number / 2;
}

Result<int> quarter(int number) {
  BITLOOP_ASSIGN(once, half(number));
  BITLOOP_ASSIGN(twice, half(once));
  return twice;
}

Status check_even(int number, int& evaluations) {
  BITLOOP_TRY((++evaluations, half(number)));
  return {};
}

TEST(Result, AssignBindsTheValueOrReturnsTheError) {
  EXPECT_EQ(quarter(8), 2);
  EXPECT_EQ(quarter(6).error().code, "odd");
  EXPECT_EQ(quarter(7).error().message, "an odd number");
}

TEST(Result, AssignMovesWhatCannotBeCopied) {
  const auto pass_on = [](Result<std::unique_ptr<int>> given) -> Result<int> {
    BITLOOP_ASSIGN(owned, std::move(given));
    return *owned;
  };
  EXPECT_EQ(pass_on(std::make_unique<int>(7)), 7);
  EXPECT_EQ(pass_on(fail("gone", "")).error().code, "gone");
}

TEST(Result, TryEvaluatesOnce) {
  int evaluations = 0;
  EXPECT_TRUE(check_even(2, evaluations));
  EXPECT_EQ(check_even(3, evaluations).error().code, "odd");
  EXPECT_EQ(evaluations, 2);
}

}  // namespace
}  // namespace bitloop
