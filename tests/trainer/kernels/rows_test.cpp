#include "trainer/kernels/rows.h"

#include <c10/util/BFloat16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitloop::kernels {
namespace {

std::vector<float> numbers(int64_t n, float seed) {
  std::vector<float> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::sin(static_cast<float>(i) * 1.7f + seed);
  return out;
}

TEST(FinishProduct, IntegerAndFloatFormsEqualTheFormula) {
  constexpr int64_t kRows = 5, kN = 37;
  std::vector<int32_t> acc(kRows * kN), shift(kN);
  for (size_t i = 0; i < acc.size(); ++i) acc[i] = static_cast<int32_t>(i * 7919 % 20011) - 9000;
  for (size_t c = 0; c < shift.size(); ++c) shift[c] = static_cast<int32_t>(c) * 128;
  const std::vector<float> x = numbers(kRows, 1), w = numbers(kN, 2), bias = numbers(kN, 3),
                           residual = numbers(kRows * kN, 4), floats = numbers(kRows * kN, 5);
  for (const int64_t stride : {0, 1})
    for (const bool add : {false, true}) {
      Product p{.acc = acc.data(),
                .integer = true,
                .N = kN,
                .shift = shift.data(),
                .x_scale = x.data(),
                .x_stride = stride,
                .w_scale = w.data(),
                .bias = bias.data()};
      std::vector<float> out(acc.size()), later(acc.size());
      finish_product(p, kRows, add ? residual.data() : nullptr, out.data());
      for (int64_t r = 0; r < kRows; ++r)
        for (int64_t c = 0; c < kN; ++c) {
          const auto i = static_cast<size_t>(r * kN + c), n = static_cast<size_t>(c);
          const double y =
              static_cast<double>(acc[i] - shift[n]) * x[static_cast<size_t>(r * stride)] * w[n] +
              bias[n];
          EXPECT_NEAR(out[i], y + (add ? residual[i] : 0.0), 1e-6 * (std::abs(y) + 1));
        }
      finish_product(p.from_row(3), 2, add ? residual.data() + 3 * kN : nullptr,
                     later.data() + 3 * kN);
      for (size_t i = 3 * kN; i < out.size(); ++i) EXPECT_EQ(later[i], out[i]);
      p = {.acc = floats.data(), .N = kN, .bias = bias.data()};
      finish_product(p, kRows, add ? residual.data() : nullptr, out.data());
      for (size_t i = 0; i < out.size(); ++i)
        EXPECT_FLOAT_EQ(out[i], (add ? residual[i] : 0.0f) + (floats[i] + bias[i % kN]));
    }
}

TEST(FinishProduct, InBfloat16IsTheRoundedResult) {
  constexpr int64_t kRows = 3, kN = 37;
  std::vector<int32_t> acc(kRows * kN), shift(kN, 128);
  for (size_t i = 0; i < acc.size(); ++i) acc[i] = static_cast<int32_t>(i * 7919 % 20011) - 9000;
  const std::vector<float> x = numbers(kRows, 1), w = numbers(kN, 2), bias = numbers(kN, 3),
                           floats = numbers(kRows * kN, 5);
  Product integer{.acc = acc.data(),
                  .integer = true,
                  .N = kN,
                  .shift = shift.data(),
                  .x_scale = x.data(),
                  .x_stride = 1,
                  .w_scale = w.data(),
                  .bias = bias.data()};
  const Product plain{.acc = floats.data(), .N = kN, .bias = bias.data()};
  for (const Product& p : {integer, plain}) {
    std::vector<float> want(acc.size());
    std::vector<uint16_t> got(acc.size());
    finish_product(p, kRows, nullptr, want.data());
    finish_product_bfloat16(p, kRows, got.data());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], c10::BFloat16(want[i]).x);
  }
}

TEST(MultiplyRows, ByOneFactorEachWithAStride) {
  std::vector<float> a = numbers(3 * 20, 1);
  const std::vector<float> before = a, factor = {2.0f, -1.0f, 0.5f};
  multiply_rows(a.data(), 3, 17, 20, factor.data());
  for (size_t r = 0; r < 3; ++r)
    for (size_t c = 0; c < 20; ++c) {
      const size_t i = r * 20 + c;
      EXPECT_EQ(a[i], c < 17 ? before[i] * factor[r] : before[i]);
    }
}

TEST(RoundAndDotHeads, EqualsTheFormulaHeadByHead) {
  constexpr int64_t kRows = 3, kStride = 5;
  for (const int64_t H : {1, 3})
    for (const int64_t S : {16, 48}) {
      const std::vector<float> dout = numbers(kRows * H * S, 1), out = numbers(kRows * H * S, 2);
      std::vector<uint16_t> rounded(dout.size());
      std::vector<float> deltas(static_cast<size_t>(H * kStride), 7.0f);
      round_and_dot_heads(dout.data(), out.data(), kRows, H, S, rounded.data(), deltas.data(),
                          kStride);
      for (size_t i = 0; i < dout.size(); ++i) ASSERT_EQ(rounded[i], c10::BFloat16(dout[i]).x);
      for (int64_t h = 0; h < H; ++h)
        for (int64_t r = 0; r < kStride; ++r) {
          double dot = 0;
          for (int64_t i = (r * H + h) * S; r < kRows && i < (r * H + h + 1) * S; ++i)
            dot += dout[static_cast<size_t>(i)] * out[static_cast<size_t>(i)];
          EXPECT_NEAR(deltas[static_cast<size_t>(h * kStride + r)], r < kRows ? dot : 7.0, 1e-4);
        }
    }
}

// The derivative is compared with the formula in double.
TEST(LayerNorm, ForwardAndBackwardEqualTheFormula) {
  for (const int64_t D : {16, 80}) {
    constexpr int64_t kRows = 6;  // four together and two alone
    const auto n = static_cast<size_t>(D);
    const std::vector<float> x = numbers(kRows * D, 0), dy = numbers(kRows * D, 9),
                             weight = numbers(D, 2), bias = numbers(D, 3);
    std::vector<float> mean(kRows), rstd(kRows), dx(x.size(), 0.5f), dweight(n, 1.0f),
        dbias(n, 2.0f);
    std::vector<double> dweight_want(n, 1.0), dbias_want(n, 2.0);
    std::vector<float> all(x.size());
    layer_norm(x.data(), weight.data(), bias.data(), kRows, D, 1e-5, all.data(), mean.data(),
               rstd.data());
    for (int64_t r = 0; r < kRows; ++r) {
      const float *row = x.data() + r * D, *out = all.data() + r * D;
      double m = 0, v = 0;
      for (size_t c = 0; c < n; ++c) m += row[c] / static_cast<double>(D);
      for (size_t c = 0; c < n; ++c) v += (row[c] - m) * (row[c] - m) / static_cast<double>(D);
      for (size_t c = 0; c < n; ++c)
        EXPECT_NEAR(out[c], (row[c] - m) / std::sqrt(v + 1e-5) * weight[c] + bias[c], 1e-6);
    }
    layer_norm_backward(dy.data(), x.data(), mean.data(), rstd.data(), weight.data(), kRows, D,
                        dx.data(), dweight.data(), dbias.data());
    for (int64_t r = 0; r < kRows; ++r) {
      const float *row = x.data() + r * D, *d = dy.data() + r * D;
      const double m = mean[static_cast<size_t>(r)], s = rstd[static_cast<size_t>(r)];
      double sum = 0, dot = 0;
      for (size_t c = 0; c < n; ++c) {
        sum += d[c] * weight[c] / static_cast<double>(D);
        dot += d[c] * weight[c] * (row[c] - m) * s / static_cast<double>(D);
        dweight_want[c] += d[c] * (row[c] - m) * s;
        dbias_want[c] += d[c];
      }
      for (size_t c = 0; c < n; ++c)
        EXPECT_NEAR(dx[static_cast<size_t>(r * D) + c],
                    0.5 + s * (d[c] * weight[c] - sum - (row[c] - m) * s * dot), 3e-6);
    }
    for (size_t c = 0; c < n; ++c) {
      EXPECT_NEAR(dweight[c], dweight_want[c], 1e-5);
      EXPECT_NEAR(dbias[c], dbias_want[c], 1e-5);
    }
  }
}

TEST(CrossEntropy, LossAndGradientInPlace) {
  for (const int64_t V : {16, 45}) {
    std::vector<float> logits = numbers(V, 3);
    for (float& value : logits) value *= 40.0f;  // far beyond where e^x fits a float
    double largest = -1e30, sum = 0;
    for (const float value : logits) largest = std::max<double>(largest, value);
    for (const float value : logits) sum += std::exp(value - largest);
    const std::vector<float> before = logits;
    const double loss = cross_entropy_row(logits.data(), V, 5, 0.25f, logits.data());
    EXPECT_NEAR(loss, largest + std::log(sum) - before[5], 1e-5);
    for (size_t c = 0; c < logits.size(); ++c)
      EXPECT_NEAR(logits[c], 0.25 * (std::exp(before[c] - largest) / sum - (c == 5)), 1e-6);
  }
}

}  // namespace
}  // namespace bitloop::kernels
