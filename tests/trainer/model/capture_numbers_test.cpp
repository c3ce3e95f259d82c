// Captured programs where numbers are special: gradients at bounds, ties and zeros, the ends of
// float32's range, and how many steps and walks a program takes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lua/capture/describe.h"
#include "lua/capture/differentiate.h"
#include "tests/trainer/model/capture_trial.h"

namespace bitloop::trainer {
namespace {

// The gradient of weight_quant's surrogate as a program: the argument's, then the parameters'.
lua::LoweredProgram gradient_program(Trial& made) {
  lua::Recording recording;
  at::NoGradGuard no_grad;
  EXPECT_TRUE(made.function()(made.w, &recording));
  EXPECT_TRUE(recording.graph) << recording.reason;
  const auto gradient = lua::differentiate(*recording.graph, recording.graph->surrogate);
  EXPECT_TRUE(gradient);
  std::vector<int> outputs = {gradient->argument};
  for (const auto& parameter : gradient->parameters)
    if (parameter.node >= 0) outputs.push_back(parameter.node);
  return lua::lower(gradient->graph, outputs);
}

TEST(Capture, AGradientThatIsASumNeedsNoSecondWalk) {
  // One step size for all: its gradient sums over all rows, the argument's needs nothing of that.
  Trial made = trial(file_of(
      "local s = ctx.params.s\n      local q = (w / s)\n      : clamp(-1,\n              1) "
      "return {codes = q:round(), scale = s, surrogate = bitloop.ste_round(q) * s}"));
  made.params = {{"s", at::full({}, 0.3f).requires_grad_(true)}};
  const lua::LoweredProgram lowered = gradient_program(made);
  const kernels::RowProgram& program = lowered.program;
  ASSERT_EQ(program.phases.size(), 1u) << lua::describe(program);
  EXPECT_LE(program.phases[0].steps.size(), 17u) << lua::describe(program);
  ASSERT_EQ(program.outputs.size(), 2u);
  EXPECT_EQ(program.outputs[0].shape, kernels::Output::kFullShape);
  EXPECT_EQ(program.outputs[1].shape, kernels::Output::kScalarShape);
}

TEST(Capture, AResultLeavesWithTheWalkThatMakesIt) {
  // The offset's rows are known in the first walk, the codes in the second.
  Trial made = trial(file_of(
      "local m = w:mean{dim = 1, keepdim = true}\n      local s = w\n      : abs()\n      : mean() "
      "return {codes = ((w - m) / s):round():clamp(-1, 1), scale = s * 2, offset = m}"));
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  const kernels::RowProgram& program = made.capture.function->forward().program;
  ASSERT_EQ(program.phases.size(), 2u);
  EXPECT_EQ(program.outputs[0].phase, 1);
  EXPECT_EQ(program.outputs[2].phase, 0);
}

TEST(Capture, GradientsOfTwoColumnsKeepTheirNames) {
  Trial made =
      trial(file_of("local q = (w * ctx.params.a):round():clamp(-1, 1)\n                    "
                    "return {codes = q, scale = 1, "
                    "surrogate = w * ctx.params.a + w:square() * ctx.params.b + ctx.params.c}"));
  for (const char* name : {"a", "b", "c"})
    made.params[name] = normal({40}, static_cast<uint64_t>(name[0])).requires_grad_(true);
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
}

TEST(Capture, TwoParametersWithOneGradientBothReceiveIt) {
  Trial made =
      trial(file_of("return {codes = w:round():clamp(-1, 1), scale = 1, "
                    "surrogate = w + ctx.params.a + ctx.params.b}"));
  for (const char* name : {"a", "b"})
    made.params[name] = normal({40}, static_cast<uint64_t>(name[0])).requires_grad_(true);
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
}

struct SpecialGradient {
  const char* name;
  const char* surrogate;
};

class GradientAt : public testing::TestWithParam<SpecialGradient> {};

const SpecialGradient kSpecialGradients[] = {
    {"norm_of_zeros", "w * w:norm(2, 1, true)"},
    {"std_of_equal_numbers", "w * w:std{dim = 1, keepdim = true}"},
    {"relu_of_zeros", "w:relu()"},
    {"clamp_at_its_bound", "w:clamp(0, 0.25)"},
    {"clamp_between_tensors",
     "w:clamp{min = torch.tensor(0), max = w:amax{dim = 1, keepdim = true}}"},
    {"clamp_between_a_number_and_a_tensor", "w:clamp{min = 0, max = ctx.params.s}"},
    {"abs_of_zeros", "w:abs()"},
    {"largest_of_equals", "w + w:amax{dim = 1, keepdim = true}"},
    {"infinite_beyond_a_clamp", "w / w:abs():clamp{min = 0.1}"},
    {"infinite_beyond_a_bound",
     "w:detach():clamp{min = -ctx.params.s, max = ctx.params.s}:abs():sqrt() + w"},
    {"rounded_parameter", "w + ctx.params.s:round()"},
    {"sign_of_the_argument", "w:sign() * ctx.params.s"},
};

TEST_P(GradientAt, IsAutograds) {
  Trial made = trial(file_of(std::string("return {codes = w:round():clamp(-1, 1), scale = 1, "
                                         "surrogate = ") +
                             GetParam().surrogate + "}"));
  made.params = {{"s", at::full({}, 0.25f).requires_grad_(true)}};
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  at::Tensor special = normal({24, 40}, 13);
  special[2].zero_();
  special[3].fill_(0.25);
  special[4].slice(0, 0, 20).fill_(0.0);
  special[5].slice(0, 0, 20).fill_(0.25);
  const at::Tensor g = normal({24, 40}, 9), w = special.clone().requires_grad_(true);
  const auto eager = made.function()(w, nullptr);
  ASSERT_TRUE(eager);
  eager->surrogate.backward(g);
  const SurrogateGradient got = made.capture.function->backward(special, g, made.params, {});
  ASSERT_TRUE(got.argument.defined());
  EXPECT_TRUE(at::allclose(got.argument, w.grad(), 1e-4, 1e-5));
  const at::Tensor of_s = made.params.at("s").grad();
  ASSERT_EQ(got.params.contains("s"), of_s.defined());
  if (of_s.defined()) {
    EXPECT_TRUE(at::allclose(got.params.at("s"), of_s, 1e-4, 1e-4));
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers, GradientAt, testing::ValuesIn(kSpecialGradients),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(Capture, FunctionsKeepTheirPrecisionAtTheEndsOfTheirRange) {
  // Scales are made of single numbers: small ones need all their digits, large ones their infinity.
  Trial made =
      trial(file_of("local m = w:abs():amax{dim = 1, keepdim = true}\n                    "
                    "local s = torch.tanh(m * 1e-3) + torch.exp(-m * 100) + torch.sigmoid(-m) * "
                    "1e-6\n                    "
                    "return (w / s):round():clamp(-1, 1), s"));
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  at::NoGradGuard no_grad;
  for (const double size : {1e-6, 1e-3, 1.0, 30.0, 1e4}) {
    const at::Tensor x = made.w * size;
    EXPECT_TRUE(at::allclose((*made.capture.function)(x, {}, {}).scale,
                             made.function()(x, nullptr)->scale, 1e-6, 0))
        << size;
  }
  Trial grown =
      trial(file_of("local s = w:abs():amax{dim = 1, keepdim = true}:exp()\n"
                    "return (w / s):round():clamp(-1, 1), s"));
  ASSERT_TRUE(grown.run());
  for (const double size : {1.0, 60.0, 1e3}) {
    EXPECT_TRUE(at::allclose((*grown.capture.function)(grown.w * size, {}, {}).scale,
                             grown.function()(grown.w * size, nullptr)->scale, 1e-6, 0))
        << size;
  }
}

TEST(Capture, AScaleWithoutAReciprocalStillDivides) {
  Trial made =
      trial(file_of("local s = w:abs():amax{dim = 1, keepdim = true}\n                    "
                    "return (w / s):round():clamp(-1, 1), s"));
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  at::NoGradGuard no_grad;
  const at::Tensor x = made.w * 1e-39;
  EXPECT_TRUE(
      at::equal((*made.capture.function)(x, {}, {}).codes, made.function()(x, nullptr)->codes));
}

}  // namespace
}  // namespace bitloop::trainer
