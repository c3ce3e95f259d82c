#include "trainer/kernels/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "trainer/kernels/bfloat16.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kRows = 32, kStride = 112;

std::vector<float> numbers(float seed) {
  std::vector<float> out(kRows * kStride);
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = 4.0f * std::sin(static_cast<float>(i) * 1.7f + seed);
  return out;
}

float low(uint32_t word) { return from_bfloat16(static_cast<uint16_t>(word)); }
float high(uint32_t word) { return from_bfloat16(static_cast<uint16_t>(word >> 16)); }

// Weights are rounded to bfloat16: 2^-9 relatively.
TEST(CausalSoftmax, EqualsTheFormulaAndHidesLaterKeys) {
  for (const int64_t first : {0, 16, 64}) {
    const int64_t n = first + kRows;
    const std::vector<float> before = numbers(1);
    std::vector<float> largest(kRows), inverse(kRows);
    std::vector<uint16_t> weights(before.size(), 0xffff);
    causal_softmax({kRows, first, n, kStride, 0.7f}, before.data(), weights.data(),
                   largest.data(), inverse.data());
    for (int64_t r = 0; r < kRows; ++r) {
      double sum = 0, top = -1e30;
      const auto at = [&](int64_t j) { return static_cast<size_t>(r * kStride + j); };
      for (int64_t j = 0; j <= first + r; ++j) top = std::max<double>(top, before[at(j)]);
      for (int64_t j = 0; j <= first + r; ++j) sum += std::exp2(0.7 * (before[at(j)] - top));
      EXPECT_EQ(largest[static_cast<size_t>(r)], static_cast<float>(top));
      EXPECT_NEAR(inverse[static_cast<size_t>(r)] * sum, 1.0, 1e-5);
      for (int64_t j = 0; j < n; ++j) {
        const double want = j <= first + r ? std::exp2(0.7 * (before[at(j)] - top)) : 0.0;
        EXPECT_NEAR(from_bfloat16(weights[at(j)]), want, want / 256) << r << ", " << j;
      }
    }
  }
}

TEST(CausalSoftmax, BackwardEqualsTheFormulaInBothLayouts) {
  for (const int64_t first : {0, 16, 64}) {
    const int64_t n = first + kRows;
    const std::vector<float> before = numbers(1), products = numbers(2), delta = numbers(3);
    std::vector<float> largest(kRows), inverse(kRows);
    std::vector<uint16_t> ds(before.size());
    std::vector<uint32_t> p_pairs(before.size()), ds_pairs(before.size());
    const ScoreBlock block{kRows, first, n, kStride, 0.7f};
    causal_softmax(block, before.data(), ds.data(), largest.data(), inverse.data());
    causal_softmax_backward(block, 0.4f, before.data(), products.data(), largest.data(),
                            inverse.data(), delta.data(), ds.data(), p_pairs.data(),
                            ds_pairs.data());
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t j = 0; j < n; ++j) {
        const auto i = static_cast<size_t>(r * kStride + j), row = static_cast<size_t>(r);
        const double p =
            j <= first + r ? std::exp2(0.7 * (before[i] - largest[row])) * inverse[row] : 0.0;
        const double want = p * (products[i] - delta[row]) * 0.4;
        const uint32_t p_word = p_pairs[static_cast<size_t>(r / 2 * kStride + j)],
                       ds_word = ds_pairs[static_cast<size_t>(r / 2 * kStride + j)];
        EXPECT_NEAR(r % 2 == 0 ? low(p_word) : high(p_word), p, p / 256 + 1e-9);
        EXPECT_NEAR(r % 2 == 0 ? low(ds_word) : high(ds_word), want, std::abs(want) / 200 + 1e-7);
        EXPECT_EQ(ds[i], static_cast<uint16_t>(r % 2 == 0 ? ds_word : ds_word >> 16));
      }
  }
}

}  // namespace
}  // namespace bitloop::kernels
