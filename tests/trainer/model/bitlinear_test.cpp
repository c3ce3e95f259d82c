#include "trainer/model/bitlinear.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

BitLinear make_layer(int64_t N, int64_t K) {
  BitLinear layer;
  layer.layer = {
      .name = "l", .index = 0, .count = 1, .kind = "mlp_fc", .in_features = K, .out_features = N};
  layer.weight = at::randn({N, K}).mul_(0.02).requires_grad_(true);
  layer.bias = at::randn({N}).requires_grad_(true);
  return layer;
}

struct Gradients {
  at::Tensor y, dx, dw, db;
};

Gradients run(BitLinear& layer, const at::Tensor& x_values, const at::Tensor& dy,
              const ForwardContext& context) {
  const at::Tensor x = x_values.clone().requires_grad_(true);
  layer.weight.mutable_grad() = layer.bias.mutable_grad() = at::Tensor();
  EXPECT_TRUE(quantize_weight(layer, context));
  const auto y = bitlinear_forward(layer, x, context);
  EXPECT_TRUE(y) << y.error().message;
  torch::autograd::backward({*y}, {dy});
  finish_weight_gradient(layer, context);
  return {y->detach(), x.grad(), layer.weight.grad(), layer.bias.grad()};
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

class BitLinearTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { at::manual_seed(11); }
};

// The straight-through formula written out: y = x̂ ŵᵀ + b, dx = dy ŵ, dw = dyᵀ x̂, db = sum dy.
TEST_P(BitLinearTest, AllProductsFollowTheStraightThroughFormula) {
  const auto quantizer = shipped_quantizer(GetParam());
  BitLinear layer = make_layer(33, 64);
  const at::Tensor x = at::randn({20, 64}), dy = at::randn({20, 33});
  ForwardContext context{
      .quantizer = quantizer.get(), .training = true, .products = Products::kExact};
  const Gradients exact = run(layer, x, dy, context);
  at::Tensor x_value = x;
  if (quantizer->format().quantizes_activations) {
    const auto returned = quantizer->activation_quant(x, {.layer = &layer.layer});
    auto operand = make_activation_operand(*returned, x, quantizer->format(), "l");
    materialise_value(*operand, x, quantizer->format());
    x_value = operand->value;
  }
  const at::Tensor w_value = layer.used_weight.detach();
  EXPECT_LT(relative(exact.y, x_value.mm(w_value.t()) + layer.bias.detach()), 1e-6);
  EXPECT_LT(relative(exact.dx, dy.mm(w_value)), 1e-6);
  EXPECT_LT(relative(exact.dw, dy.t().mm(x_value)), 1e-6);
  EXPECT_LT(relative(exact.db, dy.sum(0)), 1e-6);

  // Integer forward products are exact, so only the scales' roundings differ; bfloat16 rounds to 8
  // bits.
  context.products = Products::kFloat32;
  const Gradients integer = run(layer, x, dy, context);
  EXPECT_LT(relative(integer.y, exact.y), 2e-6);
  EXPECT_LT(relative(integer.dx, exact.dx), 2e-6);
  EXPECT_LT(relative(integer.dw, exact.dw), 2e-6);
  context.products = Products::kBfloat16;
  const Gradients rough = run(layer, x, dy, context);
  const bool quantized =
      quantizer->format().quantizes_weights && quantizer->format().quantizes_activations;
  EXPECT_LT(relative(rough.y, exact.y), quantized ? 2e-6 : 1e-2);
  EXPECT_LT(relative(rough.dx, exact.dx), 1e-2);
  EXPECT_LT(relative(rough.dw, exact.dw), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Shipped, BitLinearTest,
                         testing::Values("float", "ternary", "binary", "int2"));

TEST(BitLinear, ASurrogateCarriesTheGradient) {
  const auto quantizer = quantizer_from(R"(
    local Q = {name = "s", levels = {-1, 0, 1}}
    function Q.weight_quant(w, ctx)
      local s = w:abs():mean()
      return {codes = (w / s):round():clamp{min = -1, max = 1}, scale = s, surrogate = w * 3}
    end
    return Q)");
  BitLinear layer = make_layer(8, 16);
  const at::Tensor x = at::randn({5, 16}), dy = at::randn({5, 8});
  const Gradients got = run(layer, x, dy, {.quantizer = quantizer.get(), .training = true});
  EXPECT_LT(relative(got.dw, dy.t().mm(x) * 3), 1e-6);
}

TEST(BitLinear, LambdaBlendsValueAndGradient) {
  const auto quantizer = quantizer_from(kTernaryLua);
  BitLinear layer = make_layer(8, 16);
  const at::Tensor x = at::randn({5, 16}), dy = at::randn({5, 8});
  const Gradients zero =
      run(layer, x, dy, {.quantizer = quantizer.get(), .training = true, .lambda = 0.0});
  EXPECT_LT(relative(zero.y, x.mm(layer.weight.detach().t()) + layer.bias.detach()), 1e-6);
  EXPECT_LT(relative(zero.dw, dy.t().mm(x)), 1e-6);
}

TEST(BitLinear, GradientsGatherOverMicroBatchesAndPassTheSurrogateOnce) {
  const auto quantizer = quantizer_from(kTernaryLua);
  BitLinear layer = make_layer(8, 16);
  const ForwardContext context{.quantizer = quantizer.get(), .training = true};
  const at::Tensor x = at::randn({6, 16}), dy = at::randn({6, 8});
  const at::Tensor whole = run(layer, x, dy, context).dw;
  layer.weight.mutable_grad() = at::Tensor();
  ASSERT_TRUE(quantize_weight(layer, context));
  for (int64_t half = 0; half < 2; ++half) {
    const auto y = bitlinear_forward(layer, x.narrow(0, 3 * half, 3), context);
    torch::autograd::backward({*y}, {dy.narrow(0, 3 * half, 3)});
  }
  finish_weight_gradient(layer, context);
  EXPECT_LT(relative(layer.weight.grad(), whole), 1e-6);
}

TEST(BitLinear, ARaisingFunctionIsAnErrorWithItsLine) {
  const auto quantizer = quantizer_from(
      "local Q = {name = 'x', levels = {-1, 1}}\nfunction Q.weight_quant(w, ctx)\n"
      "  error('no')\nend\nreturn Q");
  BitLinear layer = make_layer(4, 4);
  const Status status = quantize_weight(layer, {.quantizer = quantizer.get()});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "script_error");
  EXPECT_NE(status.error().message.find("candidate.lua:3"), std::string::npos)
      << status.error().message;
}

}  // namespace
}  // namespace bitloop::trainer
