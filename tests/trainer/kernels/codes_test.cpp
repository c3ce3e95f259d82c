#include "trainer/kernels/codes.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace bitloop::kernels {
namespace {

const std::vector<double> kTernary = {-1, 0, 1};
const std::vector<double> kThirds = {-1, -1.0 / 3, 1.0 / 3, 1};

int64_t snap(const std::vector<float>& codes, const std::vector<double>& levels,
             std::vector<float>& snapped) {
  snapped.assign(codes.size(), 99.0f);
  return snap_to_levels(codes.data(), static_cast<int64_t>(codes.size()), levels, snapped.data());
}

TEST(SnapToLevels, SnapsWhatIsNear) {
  std::vector<float> snapped;
  EXPECT_EQ(snap({1.0000005f, -0.9999995f, 5e-7f, -0.0f}, kTernary, snapped), -1);
  EXPECT_EQ(snapped, (std::vector<float>{1, -1, 0, 0}));
  EXPECT_EQ(snap({0.3333333f, -1}, kThirds, snapped), -1);
  EXPECT_EQ(snapped[0], static_cast<float>(1.0 / 3));
}

TEST(SnapToLevels, NamesTheFirstCodeThatIsNoLevel) {
  std::vector<float> snapped;
  EXPECT_EQ(snap({1, 0, 0.5f, 7}, kTernary, snapped), 2);
  EXPECT_EQ(snap({1, NAN}, kTernary, snapped), 1);
  EXPECT_EQ(snap({INFINITY}, kTernary, snapped), 0);
  EXPECT_EQ(snap({1.00001f}, kTernary, snapped), 0);
}

TEST(SnapToLevels, ManyLevelsAndLongRuns) {
  std::vector<double> levels(256);
  std::iota(levels.begin(), levels.end(), -128);
  std::vector<float> codes(10007), snapped;
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<float>(static_cast<int>(i % 256) - 128);
  EXPECT_EQ(snap(codes, levels, snapped), -1);
  EXPECT_EQ(snapped, codes);
  codes[10001] = 0.25f;
  EXPECT_EQ(snap(codes, levels, snapped), 10001);
}

TEST(PackInt8, PacksAndRefuses) {
  const std::vector<float> codes = {-128, 127, 0, 3};
  std::vector<int8_t> out(codes.size());
  EXPECT_EQ(pack_int8(codes.data(), 4, 1.0f, -128, 127, out.data()), -1);
  EXPECT_EQ(out, (std::vector<int8_t>{-128, 127, 0, 3}));
  for (const float bad : {128.0f, -129.0f, 0.5f, NAN, INFINITY}) {
    const std::vector<float> with = {1, bad};
    EXPECT_EQ(pack_int8(with.data(), 2, 1.0f, -128, 127, out.data()), 1) << bad;
  }
}

TEST(PackInt8, AFactorMakesThirdsWhole) {
  const std::vector<float> codes = {-1, -1.0f / 3, 1.0f / 3, 1};
  std::vector<int8_t> out(codes.size());
  EXPECT_EQ(pack_int8(codes.data(), 4, 3.0f, -127, 127, out.data()), -1);
  EXPECT_EQ(out, (std::vector<int8_t>{-3, -1, 1, 3}));
}

TEST(FindNonInteger, SixteenBits) {
  const std::vector<float> codes = {-32768, 32767, 12345};
  EXPECT_EQ(find_non_integer(codes.data(), 3, -32768, 32767), -1);
  EXPECT_EQ(find_non_integer(codes.data(), 3, -8, 7), 0);
}

TEST(ScaleProducts, EqualsTheFormula) {
  const std::vector<int32_t> acc = {1, -2, 3, 4, 5, -6};
  const std::vector<float> x = {0.5f, 2.0f}, w = {1.0f, 0.25f, 3.0f}, b = {10, 20, 30};
  std::vector<float> y(6);
  scale_products(acc.data(), x.data(), 1, w.data(), 1, b.data(), 2, 3, y.data());
  EXPECT_EQ(y, (std::vector<float>{10.5f, 19.75f, 34.5f, 18, 22.5f, -6}));
  scale_products(acc.data(), x.data(), 0, w.data(), 0, nullptr, 2, 3, y.data());
  EXPECT_EQ(y, (std::vector<float>{0.5f, -1, 1.5f, 2, 2.5f, -3}));
}

uint16_t as_bfloat16(float value) { return c10::BFloat16(value).x; }  // LibTorch's rounding

TEST(ScaleToBfloat16, RoundsTheScaledGradientAsLibTorchDoes) {
  constexpr int64_t kRows = 37, kCols = 19;
  std::vector<float> dy(kRows * kCols), row(kRows), column(kCols);
  for (size_t i = 0; i < dy.size(); ++i)
    dy[i] = std::ldexp(std::sin(static_cast<float>(i) * 1.7f), static_cast<int>(i % 40) - 20);
  dy[5] = 0.0f, dy[6] = -0.0f, dy[7] = std::numeric_limits<float>::infinity(), dy[8] = 1e-42f;
  for (size_t r = 0; r < row.size(); ++r) row[r] = 0.01f * static_cast<float>(r + 1);
  for (size_t c = 0; c < column.size(); ++c) column[c] = 1.0f / static_cast<float>(c + 3);
  for (const int64_t stride : {0, 1}) {
    std::vector<uint16_t> by_row(dy.size()), by_column(dy.size());
    scale_to_bfloat16(dy.data(), row.data(), stride, column.data(), stride, kRows, kCols,
                      by_row.data(), by_column.data());
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < kCols; ++c) {
        const auto i = static_cast<size_t>(r * kCols + c);
        ASSERT_EQ(by_row[i], as_bfloat16(dy[i] * row[static_cast<size_t>(r * stride)])) << i;
        ASSERT_EQ(by_column[i], as_bfloat16(dy[i] * column[static_cast<size_t>(c * stride)])) << i;
      }
  }
}

TEST(ScaleToBfloat16, LeavesOutWhatIsNotWantedAndKeepsNan) {
  const std::vector<float> dy = {std::numeric_limits<float>::quiet_NaN(), 2.0f};
  const float one = 1.0f;
  std::vector<uint16_t> out(2);
  scale_to_bfloat16(dy.data(), &one, 0, nullptr, 0, 1, 2, out.data(), nullptr);
  EXPECT_TRUE(std::isnan(static_cast<float>(c10::BFloat16(out[0], c10::BFloat16::from_bits()))));
  EXPECT_EQ(out[1], as_bfloat16(2.0f));
  scale_to_bfloat16(dy.data(), nullptr, 0, &one, 0, 1, 2, nullptr, out.data());
  EXPECT_EQ(out[1], as_bfloat16(2.0f));
}

TEST(Int8ToBfloat16, HoldsEveryCodeExactly) {
  std::vector<int8_t> codes(256);
  std::iota(codes.begin(), codes.end(), static_cast<int8_t>(-128));
  std::vector<uint16_t> out(256);
  int8_to_bfloat16(codes.data(), 256, out.data());
  for (size_t i = 0; i < 256; ++i)
    EXPECT_EQ(static_cast<float>(c10::BFloat16(out[i], c10::BFloat16::from_bits())),
              static_cast<float>(codes[i]));
}

TEST(PackLevels, IntegersOfLevelsAndOnlyThose) {
  const std::vector<float> thirds(kThirds.begin(), kThirds.end());
  const std::vector<int8_t> integers = {-3, -1, 1, 3};
  for (const size_t n : {size_t{1}, size_t{15}, size_t{256}, size_t{700}}) {
    std::vector<float> codes(n);
    for (size_t i = 0; i < n; ++i) codes[i] = thirds[i % 4] + (i % 3 == 0 ? 9e-7f : 0.0f);
    std::vector<int8_t> out(n + 1, 77);
    const auto size = static_cast<int64_t>(n);
    EXPECT_TRUE(pack_levels_run(codes.data(), size, thirds, integers, out.data()));
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], integers[i % 4]);
    EXPECT_EQ(out[n], 77);
    for (const float bad : {0.0f, 0.34f, -1.1f, NAN, INFINITY}) {
      codes[n - 1] = bad;
      EXPECT_FALSE(pack_levels_run(codes.data(), size, thirds, integers, out.data())) << bad;
    }
  }
}

TEST(RoundStored, Float16AsLibTorchRoundsItAndOnlyFinite) {
  std::vector<float> from = {0.0f, -0.0f, 1.0f, 0.1f, -3.14159f, 65504.0f, 1e-7f, 6e-8f, 2049.0f};
  while (from.size() < 37) from.push_back(std::sin(static_cast<float>(from.size())) * 100.0f);
  const auto n = static_cast<int64_t>(from.size());
  std::vector<float> out(from.size());
  EXPECT_TRUE(round_stored(from.data(), n, true, out.data()));
  for (size_t i = 0; i < from.size(); ++i)
    EXPECT_EQ(out[i], static_cast<float>(c10::Half(from[i]))) << from[i];
  EXPECT_TRUE(round_stored(from.data(), n, false, out.data()));
  EXPECT_EQ(out, from);
  for (const float bad : {65520.0f, -1e9f, INFINITY, NAN}) {
    from[20] = bad;
    EXPECT_FALSE(round_stored(from.data(), n, true, out.data())) << bad;
    EXPECT_EQ(round_stored(from.data(), n, false, out.data()), std::isfinite(bad)) << bad;
  }
}

}  // namespace
}  // namespace bitloop::kernels
