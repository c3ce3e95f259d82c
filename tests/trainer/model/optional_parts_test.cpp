// The optional functions and fields of the contract (design section 3), each against its formula.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "lua/tensor/hadamard.h"
#include "tests/trainer/fixture.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

std::string with(const std::string& parts) {
  std::string text = kTernaryLua;
  return text.replace(text.rfind("return Q"), 8, parts + "\nreturn Q");
}

struct Made {
  at::Tensor y, dx, dw, db;
};

class OptionalParts : public testing::TestWithParam<bool> {  // captured or eager
 protected:
  void SetUp() override {
    at::manual_seed(11);
    layer_.layer = {
        .name = "h.0.mlp.c_fc", .kind = "mlp_fc", .in_features = 64, .out_features = 24};
    layer_.weight = at::randn({24, 64}).mul_(0.1).requires_grad_(true);
    layer_.bias = at::randn({24}).requires_grad_(true);
    x_ = at::randn({20, 64});
    dy_ = at::randn({20, 24});
  }
  ForwardContext context(const lua::Quantizer& quantizer, double lambda = 1.0, int64_t step = 0) {
    return {.quantizer = const_cast<lua::Quantizer*>(&quantizer),
            .step = step,
            .total_steps = 100,
            .training = true,
            .lambda = lambda,
            .captured = GetParam()};
  }
  Made run(const ForwardContext& context) {
    const at::Tensor x = x_.clone().requires_grad_(true);
    layer_.weight.mutable_grad() = layer_.bias.mutable_grad() = at::Tensor();
    const Status quantized = quantize_weight(layer_, context);
    EXPECT_TRUE(quantized) << (quantized ? "" : quantized.error().message);
    const auto y = bitlinear_forward(layer_, x, context);
    EXPECT_TRUE(y) << (y ? "" : y.error().message);
    torch::autograd::backward({*y}, {dy_});
    finish_weight_gradient(layer_, context);
    return {y->detach(), x.grad(), layer_.weight.grad(), layer_.bias.grad()};
  }
  // Values of the plain ternary file on a tensor.
  static at::Tensor weight_value(const at::Tensor& w) {
    const at::Tensor s = w.abs().mean().clamp_min(1e-5).to(at::kHalf).to(at::kFloat);
    return (w / w.abs().mean().clamp_min(1e-5)).round().clamp(-1, 1) * s;
  }
  static at::Tensor activation_value(const at::Tensor& x) {
    const at::Tensor s = std::get<0>(x.abs().max(1, true)).clamp_min(1e-5) / 127;
    return (x / s).round().clamp(-128, 127) * s.to(at::kHalf).to(at::kFloat);
  }

  BitLinear layer_;
  at::Tensor x_, dy_;
};

bool near(const at::Tensor& a, const at::Tensor& b, double tolerance = 1e-4) {
  return at::allclose(a, b, tolerance, tolerance);
}

TEST_P(OptionalParts, BlendedOutputsHaveTheFloatPathsGradient) {
  const auto quantizer = quantizer_from(with("Q.blend = 'output'"));
  const at::Tensor w = layer_.weight.detach(), b = layer_.bias.detach();
  const at::Tensor plain = x_.mm(w.t()), quantised = activation_value(x_).mm(weight_value(w).t());
  for (const double lambda : {0.0, 0.3, 1.0}) {
    const Made made = run(context(*quantizer, lambda));
    EXPECT_TRUE(near(made.y, plain + lambda * (quantised - plain) + b)) << lambda;
    EXPECT_TRUE(near(made.dx, dy_.mm(w))) << lambda;
    EXPECT_TRUE(near(made.dw, dy_.t().mm(x_))) << lambda;
    EXPECT_TRUE(near(made.db, dy_.sum(0))) << lambda;
  }
  // A score is the quantised product itself, not a difference that rounds.
  at::NoGradGuard no_grad;
  ForwardContext scored{.quantizer = quantizer.get()};
  ASSERT_TRUE(quantize_weight(layer_, scored));
  const auto score = bitlinear_forward(layer_, x_, scored);
  const auto plain_file = quantizer_from(kTernaryLua);
  scored.quantizer = plain_file.get();
  ASSERT_TRUE(quantize_weight(layer_, scored));
  EXPECT_TRUE(near(*score, *bitlinear_forward(layer_, x_, scored), 1e-6));
}

TEST_P(OptionalParts, BlendedWeightsAndActivations) {
  const auto quantizer = quantizer_from(kTernaryLua);
  const at::Tensor w = layer_.weight.detach();
  const Made made = run(context(*quantizer, 0.3));
  const at::Tensor wv = w.lerp(weight_value(w), 0.3), xv = x_.lerp(activation_value(x_), 0.3);
  EXPECT_TRUE(near(made.y, xv.mm(wv.t()) + layer_.bias.detach()));
  EXPECT_TRUE(near(made.dx, dy_.mm(wv)));
  EXPECT_TRUE(near(made.dw, dy_.t().mm(xv)));
}

TEST_P(OptionalParts, TheTransformIsOnBothSides) {
  const auto quantizer = quantizer_from(with("Q.transform = {kind = 'hadamard', block = 32}"));
  const auto h = [](const at::Tensor& t) { return lua::block_hadamard(t, 32); };
  const at::Tensor w = layer_.weight.detach();
  const Made made = run(context(*quantizer));
  const at::Tensor wv = weight_value(h(w)), xv = activation_value(h(x_));
  EXPECT_TRUE(near(made.y, xv.mm(wv.t()) + layer_.bias.detach()));
  EXPECT_TRUE(near(made.dx, h(dy_.mm(wv))));
  EXPECT_TRUE(near(made.dw, h(dy_.t().mm(xv))));
}

TEST_P(OptionalParts, TheTransformAloneChangesNothing) {
  const auto quantizer = quantizer_from(
      "local Q = {name = 'h', transform = {kind = 'hadamard', block = 64}}\nreturn Q");
  const Made made = run(context(*quantizer));
  const at::Tensor w = layer_.weight.detach();
  EXPECT_TRUE(near(made.y, x_.mm(w.t()) + layer_.bias.detach()));
  EXPECT_TRUE(near(made.dx, dy_.mm(w)));
  EXPECT_TRUE(near(made.dw, dy_.t().mm(x_)));
}

TEST_P(OptionalParts, ATransformThatDoesNotFitNamesTheLayer) {
  const auto quantizer = quantizer_from(with("Q.transform = {kind = 'hadamard', block = 128}"));
  const Status status = quantize_weight(layer_, context(*quantizer));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "script_error");
  EXPECT_THAT(status.error().message, HasSubstr("h.0.mlp.c_fc"));
}

TEST_P(OptionalParts, SurrogatesOfTransformedWeights) {
  // A window as surrogate: the gradient is masked in the transformed domain, then brought back.
  std::string file = with("Q.transform = {kind = 'hadamard', block = 64}");
  const std::string from = "return (w / scale):round():clamp{min = -1, max = 1}, scale";
  file.replace(file.find(from), from.size(),
               "return {codes = (w / scale):round():clamp(-1, 1), scale = scale, "
               "surrogate = w * w:abs():lt(0.1):float()}");
  const auto quantizer = quantizer_from(file);
  const Made made = run(context(*quantizer));
  const at::Tensor hw = lua::block_hadamard(layer_.weight.detach(), 64),
                   xv = activation_value(lua::block_hadamard(x_, 64));
  const at::Tensor expected =
      lua::block_hadamard(dy_.t().mm(xv) * hw.abs().lt(0.1).to(at::kFloat), 64);
  EXPECT_TRUE(near(made.dw, expected));
}

TEST_P(OptionalParts, CodesAreKeptBetweenRequantisations) {
  const auto quantizer = quantizer_from(with("Q.requantize_every = 3"));
  const at::Tensor first = weight_value(layer_.weight.detach());
  for (int64_t step = 0; step < 4; ++step) {
    const Made made = run(context(*quantizer, 1.0, step));
    const at::Tensor expected = step < 3 ? first : weight_value(layer_.weight.detach());
    Operand used = layer_.weight_operand;
    materialise_value(used, layer_.latent, quantizer->format());
    EXPECT_TRUE(near(used.value, expected, 1e-6)) << step;
    EXPECT_TRUE(near(made.dw, dy_.t().mm(activation_value(x_)))) << step;
    layer_.weight.detach().neg_();
    // An evaluation in between sees the weights as they are, and disturbs nothing.
    at::NoGradGuard no_grad;
    ASSERT_TRUE(quantize_weight(layer_, {.quantizer = quantizer.get(), .step = step}));
    EXPECT_TRUE(near(layer_.used_weight, weight_value(layer_.weight.detach()), 1e-6)) << step;
  }
}

TEST_P(OptionalParts, InputRunsFirstAndLearns) {
  const auto quantizer = quantizer_from(
      with("function Q.input(x, ctx)\n"
           "  return x / (x:square():mean{dim = -1, keepdim = true} + 1e-6):sqrt() * ctx.params.g\n"
           "end"));
  layer_.params["g"] = at::full({64}, 1.5f).requires_grad_(true);
  const Made made = run(context(*quantizer));
  const at::Tensor normed = x_ / (x_.square().mean(1, true) + 1e-6).sqrt() * 1.5;
  const at::Tensor wv = weight_value(layer_.weight.detach());
  EXPECT_TRUE(near(made.y, activation_value(normed).mm(wv.t()) + layer_.bias.detach(), 1e-3));
  const at::Tensor expected = (dy_.mm(wv) * normed / 1.5).sum(0);
  EXPECT_TRUE(near(layer_.params["g"].grad(), expected, 1e-3));
}

TEST_P(OptionalParts, InputMustKeepTheShape) {
  const auto quantizer =
      quantizer_from(with("function Q.input(x, ctx) return x:narrow(1, 0, 3) end"));
  ASSERT_TRUE(quantize_weight(layer_, context(*quantizer)));
  const auto y = bitlinear_forward(layer_, x_, context(*quantizer));
  ASSERT_FALSE(y);
  EXPECT_EQ(y.error().code, "script_error");
  EXPECT_THAT(y.error().message, HasSubstr("input (layer h.0.mlp.c_fc)"));
}

TEST_P(OptionalParts, TheRegularizerSeesWeightAndValue) {
  const auto quantizer = quantizer_from(
      with("function Q.regularizer(w, value, ctx) return (w - value):square():sum() * 0.5 end"));
  ASSERT_TRUE(quantize_weight(layer_, context(*quantizer)));
  const auto term = regularizer(layer_, context(*quantizer));
  ASSERT_TRUE(term) << term.error().message;
  const at::Tensor gap = layer_.weight.detach() - weight_value(layer_.weight.detach());
  EXPECT_NEAR(term->item<double>(), gap.square().sum().item<double>() * 0.5, 1e-3);
  torch::autograd::backward({*term}, {});
  EXPECT_TRUE(near(layer_.weight.grad(), gap));
}

TEST_P(OptionalParts, AfterStepReplacesTheState) {
  const auto quantizer = quantizer_from(
      with("function Q.after_step(layer, ctx)\n"
           "  return {zeros = ctx.state.zeros + layer.codes:eq(0):float():sum()}\nend"));
  layer_.state["zeros"] = at::zeros({});
  ASSERT_TRUE(quantize_weight(layer_, context(*quantizer)));
  const double zeros = layer_.weight_operand.codes.eq(0).sum().item<double>();
  for (int i = 1; i <= 2; ++i) {
    const Status done = after_step(layer_, context(*quantizer));
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(layer_.state["zeros"].item<double>(), i * zeros);
  }
}

TEST_P(OptionalParts, AfterStepSeesTheWeightThatTheStepMade) {
  const auto quantizer = quantizer_from(
      with("function Q.after_step(layer, ctx) return {mean = layer.weight:mean()} end"));
  layer_.state["mean"] = at::zeros({});
  ASSERT_TRUE(quantize_weight(layer_, context(*quantizer)));
  layer_.weight.detach().add_(1.0);  // what the optimiser does
  ASSERT_TRUE(after_step(layer_, context(*quantizer)));
  EXPECT_NEAR(layer_.state["mean"].item<double>(), layer_.weight.detach().mean().item<double>(),
              1e-6);
}

INSTANTIATE_TEST_SUITE_P(EagerAndCaptured, OptionalParts, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "captured" : "eager"; });

}  // namespace
}  // namespace bitloop::trainer
