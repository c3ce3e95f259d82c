#include "trainer/model/fused_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "tests/trainer/attention_reference.h"
#include "trainer/kernels/rows.h"
#include "trainer/model/products.h"

namespace bitloop::trainer {
namespace {

double relative(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).norm().item<double>() / b.norm().item<double>();
}

struct Attention {
  at::Tensor out, dqkv;
};

Attention run(const at::Tensor& qkv, const at::Tensor& dout, int64_t H) {
  const int64_t B = qkv.size(0), T = qkv.size(1), S = qkv.size(2) / 3 / H;
  FusedAttention attention({B, T, H, S});
  Attention made{at::full(dout.sizes(), NAN), at::full(qkv.sizes(), NAN)};
  const at::Tensor rounded = qkv.to(at::kBFloat16), largest = at::empty({B, H, T}),
                   inverse = at::empty({B, H, T}), delta = at::empty({B, H, T});
  std::vector<uint16_t> dout_rounded(static_cast<size_t>(dout.numel()));
  const auto* bits = reinterpret_cast<const uint16_t*>(rounded.const_data_ptr<at::BFloat16>());
  // In two parts, as two threads would.
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1}, {1, B * H}}) {
    attention.forward(bits, begin, end, made.out.data_ptr<float>(), largest.data_ptr<float>(),
                      inverse.data_ptr<float>());
    // Heads not made yet are NaN; what is read is made again by the second part.
    for (int64_t b = 0; b < B; ++b)
      kernels::round_and_dot_heads(dout.const_data_ptr<float>() + b * T * H * S,
                                   made.out.const_data_ptr<float>() + b * T * H * S, T, H, S,
                                   dout_rounded.data() + b * T * H * S,
                                   delta.data_ptr<float>() + b * H * T, T);
    attention.backward(bits, largest.const_data_ptr<float>(), inverse.const_data_ptr<float>(),
                       dout_rounded.data(), delta.const_data_ptr<float>(), begin, end,
                       made.dqkv.data_ptr<float>());
  }
  return made;
}

struct Case {
  int64_t B, T, H, S;
};

class FusedAttentionTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  }
};

// bfloat16 keeps 8 bits: inputs are rounded before (the reference gets them rounded too), weights
// and their gradients once between two products, each off by up to 2^-9 of itself.
TEST_P(FusedAttentionTest, ForwardAndBackwardEqualTheReferenceUpToBfloat16) {
  const Case c = GetParam();
  at::manual_seed(7);
  const at::Tensor qkv = at::randn({c.B, c.T, 3 * c.H * c.S}).mul_(1.5).to(at::kBFloat16),
                   dout = at::randn({c.B, c.T, c.H * c.S}).to(at::kBFloat16).to(at::kFloat);
  const at::Tensor x64 = qkv.to(at::kDouble).requires_grad_(true);
  const at::Tensor y64 = reference_attention(x64, c.H);
  torch::autograd::backward({y64}, {dout.to(at::kDouble)});
  const Attention made = run(qkv.to(at::kFloat), dout, c.H);
  EXPECT_LT(relative(made.out, y64.detach()), 4e-3);
  EXPECT_LT(relative(made.dqkv, x64.grad()), 8e-3);
  // The first query sees one key: exact.
  const at::Tensor v = qkv.to(at::kFloat).view({c.B, c.T, 3, c.H * c.S}).select(2, 2);
  EXPECT_TRUE(at::equal(made.out.select(1, 0), v.select(1, 0)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, FusedAttentionTest,
                         testing::Values(Case{2, 1, 1, 16}, Case{2, 7, 3, 16}, Case{1, 32, 2, 32},
                                         Case{3, 33, 1, 32}, Case{2, 96, 2, 64},
                                         Case{2, 128, 4, 32}, Case{1, 130, 2, 48}));

TEST_F(FusedAttentionTest, LaterTokensChangeNothingBefore) {
  at::manual_seed(3);
  const at::Tensor qkv = at::randn({1, 64, 96}), dout = at::randn({1, 64, 32});
  at::Tensor changed = qkv.clone();
  changed.narrow(1, 40, 24).mul_(3.0);
  const Attention one = run(qkv, dout, 1), two = run(changed, dout, 1);
  EXPECT_TRUE(at::equal(one.out.narrow(1, 0, 40), two.out.narrow(1, 0, 40)));
  EXPECT_FALSE(at::equal(one.out, two.out));
}

TEST_F(FusedAttentionTest, ScoresFarFromZeroStayFinite) {
  const at::Tensor qkv = at::randn({1, 33, 96}).mul_(60), dout = at::ones({1, 33, 32});
  const Attention made = run(qkv, dout, 1);
  EXPECT_TRUE(at::isfinite(made.out).all().item<bool>());
  EXPECT_TRUE(at::isfinite(made.dqkv).all().item<bool>());
}

TEST_F(FusedAttentionTest, NotANumberStaysOne) {
  at::Tensor qkv = at::randn({1, 32, 48});
  qkv[0][5][3] = NAN;
  EXPECT_TRUE(at::isnan(run(qkv, at::ones({1, 32, 16}), 1).out[0][5]).all().item<bool>());
}

}  // namespace
}  // namespace bitloop::trainer
