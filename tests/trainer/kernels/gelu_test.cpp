#include "trainer/kernels/gelu.h"

#include <gtest/gtest.h>

#include "trainer/model/functions.h"

namespace bitloop::trainer {
namespace {

class GeluTest : public testing::TestWithParam<int64_t> {};

TEST_P(GeluTest, ForwardAndBackwardEqualLibTorchInDouble) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({GetParam()}).mul_(4).requires_grad_(true);
  const at::Tensor x64 = x.detach().to(at::kDouble).requires_grad_(true);
  const at::Tensor y = gelu_tanh(x), y64 = at::gelu(x64, "tanh");
  // tanh is off by 2e-7 at most, times |x| / 2 <= 10.
  EXPECT_LT((y.to(at::kDouble) - y64).abs().max().item<double>(), 4e-6);
  torch::autograd::backward({y}, {at::ones_like(y)});
  torch::autograd::backward({y64}, {at::ones_like(y64)});
  EXPECT_LT((x.grad().to(at::kDouble) - x64.grad()).abs().max().item<double>(), 2e-5);
}

INSTANTIATE_TEST_SUITE_P(Sizes, GeluTest, testing::Values(1, 31, 32, 33, 255, 1000, 9001));

TEST(Gelu, WithSlopeEqualsLibTorchInDouble) {
  for (const int64_t n : {1, 31, 64, 1000}) {
    at::manual_seed(4);
    const at::Tensor x = at::cat({at::randn({n}).mul_(4), at::tensor({-1e4f, -50.0f, 0.0f, 50.0f})});
    const at::Tensor x64 = x.to(at::kDouble).requires_grad_(true), y64 = at::gelu(x64, "tanh");
    torch::autograd::backward({y64}, {at::ones_like(y64)});
    at::Tensor y = at::empty_like(x), slope = at::empty(x.sizes(), at::kBFloat16);
    auto* bits = reinterpret_cast<uint16_t*>(slope.data_ptr<at::BFloat16>());
    kernels::gelu_with_slope(x.const_data_ptr<float>(), y.data_ptr<float>(), bits, x.numel());
    EXPECT_LT((y.to(at::kDouble) - y64).abs().max().item<double>(), 1e-5);  // of 50: 2e-7 relative
    // bfloat16 of a number up to 1.13: half a unit in its 8th bit.
    EXPECT_LT((slope.to(at::kDouble) - x64.grad()).abs().max().item<double>(), 4e-3);
  }
}

TEST(Gelu, LargeArgumentsAreTheLimits) {
  const at::Tensor y = gelu_tanh(at::tensor({-1e4f, -50.0f, 0.0f, 50.0f, 1e4f}));
  EXPECT_TRUE(at::equal(y, at::tensor({-0.0f, -0.0f, 0.0f, 50.0f, 1e4f})));
}

}  // namespace
}  // namespace bitloop::trainer
