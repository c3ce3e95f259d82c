#include "trainer/kernels/simd.h"

#include <gtest/gtest.h>

#include <cmath>

#include "trainer/kernels/bfloat16.h"

namespace bitloop::kernels {
namespace {

float exp2_of(float x) {
  Lanes lanes = Lanes{} + x;
  exp2_lanes(lanes);
  return lanes[0];
}

TEST(Exp2, IsWithinItsBoundAndExactAtWholeNumbers) {
  for (float x = -126.0f; x <= 127.0f; x += 0.00731f) {
    const double want = std::exp2(static_cast<double>(x));
    EXPECT_NEAR(exp2_of(x), want, 4e-7 * want) << x;
  }
  for (int n = -126; n <= 127; ++n) EXPECT_EQ(exp2_of(static_cast<float>(n)), std::ldexp(1.0f, n));
}

TEST(Exp2, FarBelowItsRangeIsTiny) {
  for (const float x : {-127.0f, -200.0f, -1e4f, -1e7f, -1e10f, -3e38f})
    EXPECT_LE(std::abs(exp2_of(x)), 1e-20f) << x;
}

TEST(Exp2, NotANumberStaysOne) {
  for (const float x : {NAN, -NAN}) EXPECT_TRUE(std::isnan(exp2_of(x)));
}

TEST(Exp2, LanesAreTheSame) {
  constexpr float kNumbers[] = {-3e38f, -130.5f, -1.25f, 0.0f, 0.3f, 90.1f};
  Lanes lanes = {};
  for (int i = 0; i < kLanes; ++i) lanes[i] = kNumbers[i % 6];
  exp2_lanes(lanes);
  for (int i = 0; i < kLanes; ++i) {
    const float want = exp2_of(kNumbers[i % 6]);
    EXPECT_NEAR(lanes[i], want, 2e-7f * std::abs(want)) << kNumbers[i % 6];
  }
}

uint32_t pair_of(float low, float high) {
  Lanes a = {}, b = {};
  a[0] = low;  // not Lanes{} + low, which makes 0 of -0
  b[0] = high;
  WordLanes pair;
  pair_lanes(a, b, pair);
  return pair[0];
}

TEST(PairLanes, RoundsBothToTheNearest) {
  for (const float a : {0.0f, -0.0f, 1.0f, 1.0039f, 1.004f, -3.14159f, 1e38f, INFINITY}) {
    const uint32_t pair = pair_of(a, -a);
    EXPECT_EQ(pair & 0xffffu, to_bfloat16(a)) << a;
    EXPECT_EQ(pair >> 16, to_bfloat16(-a)) << a;
  }
  EXPECT_TRUE(std::isnan(from_bfloat16(static_cast<uint16_t>(pair_of(NAN, 0.0f)))));
}

TEST(PairLanes, TiesGoAwayFromZero) {
  const uint32_t pair = pair_of(1.00390625f, -1.01171875f);  // 1 + 1/256, -(1 + 3/256)
  EXPECT_EQ(from_bfloat16(static_cast<uint16_t>(pair)), 1.0078125f);
  EXPECT_EQ(from_bfloat16(static_cast<uint16_t>(pair >> 16)), -1.015625f);
}

TEST(Across, LargestAndSumOfAllLanes) {
  Lanes x = {};
  for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>((i * 7) % 16 - 20);
  Lanes top = x, sum = x;
  largest_across(top);
  sum_across(sum);
  for (int i = 0; i < kLanes; ++i) {
    EXPECT_EQ(top[i], -5.0f);
    EXPECT_EQ(sum[i], -200.0f);
  }
}

}  // namespace
}  // namespace bitloop::kernels
