#include "trainer/kernels/attention.h"

#include <gtest/gtest.h>

#include "tests/trainer/attention_reference.h"
#include "trainer/model/functions.h"

namespace bitloop::trainer {
namespace {

struct Case {
  int64_t B, T, H, S;
};

class AttentionTest : public testing::TestWithParam<Case> {};

// Bound: a score is a sum of S products and an output a sum of T, each off by a few float32
// roundings of numbers of size 3.
TEST_P(AttentionTest, ForwardAndBackwardEqualTheComposedReference) {
  const Case c = GetParam();
  at::manual_seed(7);
  const at::Tensor qkv = at::randn({c.B, c.T, 3 * c.H * c.S}).mul_(1.5);
  const at::Tensor dout = at::randn({c.B, c.T, c.H * c.S});
  const at::Tensor x = qkv.clone().requires_grad_(true);
  const at::Tensor x64 = qkv.to(at::kDouble).requires_grad_(true);
  const at::Tensor y = causal_attention(x, c.H), y64 = reference_attention(x64, c.H);
  const double bound = 3.0 * static_cast<double>(c.S + c.T) * 6e-8 * 10;
  EXPECT_LT((y.to(at::kDouble) - y64).abs().max().item<double>(), bound);
  torch::autograd::backward({y}, {dout});
  torch::autograd::backward({y64}, {dout.to(at::kDouble)});
  EXPECT_LT((x.grad().to(at::kDouble) - x64.grad()).abs().max().item<double>(), 10 * bound);
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         testing::Values(Case{1, 1, 1, 16}, Case{2, 7, 3, 16}, Case{1, 8, 2, 32},
                                         Case{3, 9, 1, 32}, Case{2, 31, 2, 64}, Case{2, 128, 4, 32},
                                         Case{1, 130, 2, 64}));

TEST(Attention, SurvivesScoresFarFromZero) {
  const at::Tensor qkv = at::randn({1, 33, 96}).mul_(60);
  EXPECT_TRUE(at::isfinite(causal_attention(qkv, 1)).all().item<bool>());
}

TEST(Attention, OtherHeadSizesFallBackWithTheSameMeaning) {
  EXPECT_FALSE(kernels::attention_supported({1, 5, 2, 24}));
  const at::Tensor qkv = at::randn({1, 5, 3 * 48});
  EXPECT_TRUE(at::allclose(causal_attention(qkv, 2), reference_attention(qkv, 2), 1e-5, 1e-6));
}

TEST(Attention, TheSameInputGivesTheSameBits) {
  const at::Tensor qkv = at::randn({4, 50, 192});
  EXPECT_TRUE(at::equal(causal_attention(qkv, 2), causal_attention(qkv, 2)));
}

}  // namespace
}  // namespace bitloop::trainer
