// The kernels of Llama's parts against the formulas in double precision, at sizes that are
// multiples of nothing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "trainer/kernels/rms_norm.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/swiglu.h"

namespace bitloop::kernels {
namespace {

const float* of(const at::Tensor& x) { return x.const_data_ptr<float>(); }
float* into(const at::Tensor& x) { return x.data_ptr<float>(); }
// Relative to the largest number, or to the terms that it is a sum of: float32's epsilon, a few
// times.
void expect_near(const at::Tensor& got, const at::Tensor& wanted, const at::Tensor& terms) {
  EXPECT_LE((got.to(at::kDouble) - wanted).abs().max().item<double>(),
            4e-6 * terms.abs().max().item<double>());
}
void expect_near(const at::Tensor& got, const at::Tensor& wanted) {
  expect_near(got, wanted, wanted);
}

TEST(RmsNormKernel, ForwardAndBackwardEqualTheFormula) {
  for (const auto& [R, D] : {std::pair{1, 1}, {3, 7}, {33, 64}, {130, 131}, {17, 1000}}) {
    const at::Tensor x = at::randn({R, D}) * 3, weight = at::randn({D}), dy = at::randn({R, D});
    const at::Tensor y = at::empty({R, D}), rstd = at::empty({R}), dx = at::empty({R, D}),
                     dweight = at::empty({D});
    rms_norm_forward(of(x), of(weight), R, D, 1e-5, into(y), into(rstd));
    rms_norm_backward(of(dy), of(x), of(rstd), of(weight), R, D, into(dx), into(dweight));
    const at::Tensor x64 = x.to(at::kDouble), w64 = weight.to(at::kDouble),
                     d64 = dy.to(at::kDouble);
    const at::Tensor factor = (x64.square().mean(1, true) + 1e-5).rsqrt(), n = x64 * factor;
    expect_near(y, n * w64);
    expect_near(dx, factor * (d64 * w64 - n * (d64 * w64 * n).mean(1, true)), factor * d64 * w64);
    expect_near(dweight, (d64 * n).sum(0));
    // A row alone has the same bits.
    const at::Tensor alone = at::empty({1, D});
    rms_norm_forward(of(x) + (R - 1) * D, of(weight), 1, D, 1e-5, into(alone), into(rstd));
    EXPECT_TRUE(at::equal(alone[0], y[R - 1]));
  }
}

TEST(RmsNormKernel, ZerosAreZerosAndNotNumbersStay) {
  const at::Tensor x = at::zeros({2, 5}), weight = at::ones({5}), y = at::empty({2, 5}),
                   rstd = at::empty({2});
  x[1][2] = std::numeric_limits<float>::quiet_NaN();
  rms_norm_forward(of(x), of(weight), 2, 5, 1e-5, into(y), into(rstd));
  EXPECT_TRUE(at::equal(y[0], at::zeros({5})));
  EXPECT_TRUE(y[1].isnan().all().item<bool>());
}

TEST(SwiGluKernel, ForwardAndBackwardEqualTheFormula) {
  for (const int64_t n : {1, 31, 4097, 20000}) {
    const at::Tensor gate = at::randn({n}) * 5, up = at::randn({n}), dy = at::randn({n});
    const at::Tensor y = at::empty({n}), dgate = at::empty({n}), dup = at::empty({n});
    swiglu_forward(of(gate), of(up), into(y), n);
    swiglu_backward(of(dy), of(gate), of(up), into(dgate), into(dup), n);
    const at::Tensor g = gate.to(at::kDouble), u = up.to(at::kDouble), d = dy.to(at::kDouble),
                     s = g.sigmoid();
    expect_near(y, g * s * u);
    expect_near(dgate, d * u * (s + g * s * (1 - s)));
    expect_near(dup, d * g * s);
  }
}

TEST(SwiGluKernel, FarOutItIsTheGateOrNothing) {
  const float gate[] = {200.0f, -200.0f, 0.0f, std::numeric_limits<float>::quiet_NaN()};
  const float up[] = {2.0f, 2.0f, 2.0f, 2.0f};
  float y[4];
  swiglu_forward(gate, up, y, 4);
  EXPECT_EQ(y[0], 400.0f);
  EXPECT_NEAR(y[1], 0.0f, 1e-30f);
  EXPECT_EQ(y[2], 0.0f);
  EXPECT_TRUE(std::isnan(y[3]));
}

TEST(RotaryKernel, TurnsPairsOfTheFirstHeadsAndBack) {
  for (const auto& [R, P, heads, rest, S] :
       {std::tuple{1, 1, 1, 0, 2}, {6, 3, 3, 5, 10}, {64, 32, 6, 64, 32}}) {
    const int64_t C = heads * S + rest;
    const at::Tensor x = at::randn({R, C}), angle = at::randn({P, S / 2}) * 10;
    const at::Tensor cosine = angle.cos(), sine = angle.sin(), y = at::empty({R, C}),
                     back = at::empty({R, C});
    rotate(of(x), of(cosine), of(sine), {R, C, P, heads, S}, false, into(y));
    rotate(of(y), of(cosine), of(sine), {R, C, P, heads, S}, true, into(back));
    expect_near(back, x.to(at::kDouble));
    const at::Tensor pairs = x.narrow(1, 0, heads * S).view({R / P, P, heads, 2, S / 2});
    const at::Tensor turned =
        at::complex(pairs.select(3, 0), pairs.select(3, 1)).to(at::kComplexDouble) *
        at::polar(at::ones_like(angle), angle).to(at::kComplexDouble).view({1, P, 1, S / 2});
    const at::Tensor got = y.narrow(1, 0, heads * S).view({R / P, P, heads, 2, S / 2});
    expect_near(got.select(3, 0), at::real(turned));
    expect_near(got.select(3, 1), at::imag(turned));
    EXPECT_TRUE(at::equal(y.narrow(1, heads * S, rest), x.narrow(1, heads * S, rest)));
  }
}

}  // namespace
}  // namespace bitloop::kernels
