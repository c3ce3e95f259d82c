#include "trainer/model/regularizers.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/trainer/fixture.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

std::string with(const std::string& regularizer) {
  const std::string text = kTernaryLua;
  return text.substr(0, text.rfind("return Q")) + "function Q.regularizer(w, value, ctx)\n" +
         regularizer + "\nend\nreturn Q\n";
}

// A model of four shapes, by programs or by autograd.
class Model {
 public:
  explicit Model(const std::string& regularizer)
      : quantizer_(quantizer_from(with(regularizer))), model_(small_model(), false, 5) {
    for (BitLinear* layer : model_.bitlinears()) layer->weight.detach().mul_(4.0);
  }

  Status add(int64_t step, bool captured) {
    ForwardContext context{.quantizer = quantizer_.get(),
                           .step = step,
                           .total_steps = 1000,
                           .training = true,
                           .captured = captured};
    const Status quantized = model_.quantize_weights(context);
    EXPECT_TRUE(quantized) << (quantized ? "" : quantized.error().message);
    for (BitLinear* layer : model_.bitlinears()) {
      layer->weight.mutable_grad() = at::full_like(layer->weight, 0.01f);
      for (auto& [name, tensor] : layer->params) tensor.mutable_grad() = at::Tensor();
    }
    return regularizers_.add_gradients(model_.bitlinears(), context);
  }

  // What it added to every weight's gradient, in one row.
  at::Tensor gradient(int64_t step, bool captured) {
    const Status added = add(step, captured);
    EXPECT_TRUE(added) << (added ? "" : added.error().message);
    std::vector<at::Tensor> all;
    for (const BitLinear* layer : model_.bitlinears())
      all.push_back((layer->weight.grad() - 0.01f).flatten());
    return at::cat(all);
  }

  // By programs in this step what autograd gives: in float32, sums in another order.
  void compare(int64_t step) {
    const at::Tensor want = gradient(step, false), got = gradient(step, true);
    EXPECT_GT(want.abs().max().item<double>(), 0.0);
    // 0.01 is taken away again: 2^-24 of it is left of rounding, twice.
    EXPECT_TRUE(at::allclose(got, want, 1e-5, 2e-9)) << (got - want).abs().max();
  }

  std::vector<BitLinear*> layers() { return model_.bitlinears(); }
  Regularizers& regularizers() { return regularizers_; }

 private:
  std::unique_ptr<lua::Quantizer> quantizer_;
  Transformer model_;
  Regularizers regularizers_;
};

void expect_programs(Model& model) {
  for (const BitLinear* layer : model.layers())
    EXPECT_EQ(model.regularizers().why_eager(*layer), "") << layer->layer.name;
}

void expect_eager(Model& model, const std::string& why) {
  for (const BitLinear* layer : model.layers())
    EXPECT_THAT(model.regularizers().why_eager(*layer), HasSubstr(why)) << layer->layer.name;
}

TEST(Regularizers, AProgramAddsWhatAutogradAdds) {
  for (const char* text :
       {"return (w - value):square():mean()", "return (w - value):abs():sum() * 0.25",
        "return (w:square() - value * w):mean{dim = 1}:sum()",
        "return (w:abs():amax{dim = 1, keepdim = true} * value - w):square():mean() + 3"}) {
    Model model(text);
    for (const int64_t step : {0, 1}) model.compare(step);
    expect_programs(model);
  }
}

TEST(Regularizers, AStepThatIsReadIsTheCurrentOne) {
  Model model("return (w - value):square():mean() * math.min(1, (ctx.step + 1) / 200)");
  for (const int64_t step : {0, 1, 2, 100, 199, 200, 201, 5}) model.compare(step);
  expect_programs(model);
  EXPECT_TRUE(at::allclose(model.gradient(99, true) * 2, model.gradient(400, true), 1e-5, 5e-9));
}

TEST(Regularizers, AFunctionMayBeAnotherOneLater) {
  Model model(
      "if ctx.step < 2 then return (w - value):square():mean() end\n"
      "if ctx.step < 4 then return (w - value):abs():mean() end\n"
      "return (w:sort() - value):square():mean()");
  for (const int64_t step : {0, 1}) model.compare(step);
  expect_programs(model);
  for (const int64_t step : {2, 3}) model.compare(step);
  expect_eager(model, "wants numbers");  // LibTorch's abs does
  for (const int64_t step : {4, 5}) model.compare(step);
  expect_eager(model, "sort");
}

TEST(Regularizers, ALayerThatIsReadIsItsOwn) {
  for (const char* condition :
       {"", "if ctx.step < 1 then return (w - value):square():mean() end\n"}) {
    Model model(std::string(condition) +
                "return (w - value):square():mean() * (1 + ctx.layer.index)");
    for (const int64_t step : {0, 1, 2}) model.compare(step);
    expect_programs(model);
  }
}

// What reads numbers, or catches what it can't do without them, is the function itself.
TEST(Regularizers, WhatReadsNumbersStaysEager) {
  for (const auto& [text, why] : std::map<std::string, std::string>{
           {"return (w - value):square():mean() / w:abs():mean():item()", "item"},
           {"if w:mean() < 7 then return (w - value):square():mean() end return w:sum()", "<"},
           {"local ok, m = pcall(function() return w:abs():mean():item() end)\n"
            "return (w - value):square():mean() * (ok and m or 1)",
            "item"}}) {
    Model model(text);
    for (const int64_t step : {0, 1}) model.compare(step);
    for (const BitLinear* layer : model.layers())
      EXPECT_NE(model.regularizers().why_eager(*layer), "") << text;
    expect_eager(model, why);
  }
}

TEST(Regularizers, ParametersLearnThroughAutograd) {
  Model model("return (w - value * ctx.params.s):square():mean()");
  for (BitLinear* layer : model.layers())
    layer->params["s"] = at::full({1}, 0.5f).requires_grad_(true);
  for (const int64_t step : {0, 1}) model.compare(step);
  expect_eager(model, "a gradient reaches the parameter s");
  for (const BitLinear* layer : model.layers())
    EXPECT_NE(layer->params.at("s").grad().item<float>(), 0.0f);
}

// State is read as it is in each step.
TEST(Regularizers, StateIsNotPartOfTheProgram) {
  Model model("return (w - value):square():mean() * ctx.state.c");
  for (BitLinear* layer : model.layers()) layer->state["c"] = at::full({1}, 0.5f);
  model.compare(0);
  const at::Tensor before = model.gradient(1, true);
  for (BitLinear* layer : model.layers()) layer->state["c"] = at::full({1}, 2.0f);
  model.compare(2);
  EXPECT_TRUE(at::allclose(model.gradient(3, true), before * 4, 1e-5, 8e-9));
  expect_programs(model);
}

TEST(Regularizers, TheSameBitsAgain) {
  const char* text = "return (w - value):square():mean() * (ctx.step + 1)";
  Model one(text), other(text);
  const at::Tensor first = one.gradient(0, true);
  (void)one.gradient(3, true);
  const at::Tensor fourth = one.gradient(4, true);
  EXPECT_TRUE(at::equal(one.gradient(0, true), first));
  // As after a resumption: without the steps before.
  EXPECT_TRUE(at::equal(other.gradient(4, true), fourth));
}

// A run that goes on from a checkpoint has no memory of the steps before.
TEST(Regularizers, AStepWithoutAProgramChangesNoLaterOne) {
  const char* text =
      "if ctx.step == 3 then return (w:sort() - value):square():mean() end\n"
      "return (w - value):square():mean() * (ctx.step + 1) / 200";
  Model whole(text), resumed(text);
  for (const int64_t step : {0, 3, 4}) whole.compare(step);
  const at::Tensor fifth = whole.gradient(5, true);
  EXPECT_TRUE(at::equal(resumed.gradient(5, true), fifth));
  expect_programs(whole);
}

// Names are the candidate's: none may make layers of other shapes share a program.
TEST(Regularizers, LayersOfOtherShapesShareNoProgram) {
  Model model("return (w - value):square():mean() + (w * ctx.state.z):sum() * 1e-3");
  bool first = true;
  for (BitLinear* layer : model.layers()) {
    const at::Tensor columns = at::ones({layer->layer.in_features});
    if (std::exchange(first, false))
      layer->state = {{"a 1 z 1 zz", at::zeros({})}, {"z", columns}};
    else
      layer->state = {{"a", at::zeros({1})}, {"z", at::ones({1})}, {"zz  z", columns}};
  }
  for (const int64_t step : {0, 1}) model.compare(step);
  expect_programs(model);
}

TEST(Regularizers, AParameterIsNoStateOfItsName) {
  Model model(
      "local s = ctx.state.s or ctx.params.s:detach()\n"
      "return ((w - value) * s):square():mean()");
  bool first = true;
  for (BitLinear* layer : model.layers())
    (std::exchange(first, false) ? layer->params : layer->state)["s"] = at::full({1}, 0.5f);
  for (const int64_t step : {0, 1}) model.compare(step);
}

// What a function that is another one later does is compared again; what forward closes over has
// no gradient, though the operations on it would have one.
TEST(Regularizers, AnAutogradFunctionIsNoProgram) {
  Model model(
      "if ctx.step == 0 then return (w - value):square():mean() end\n"
      "local f = bitloop.autograd{forward = function(one) return w:square():mean() * one end,\n"
      "                           backward = function(g, one) return nil end}\n"
      "return f(torch.tensor(1)) + (w * 1e-3):sum()");
  for (const int64_t step : {0, 1}) model.compare(step);
  expect_eager(model, "bitloop.autograd");
}

TEST(Regularizers, ASumThatIsNotFiniteIsADivergence) {
  Model model("return (w:abs() * 1e30 * 1e30):sum()");
  for (const bool captured : {true, false}) {
    const Status added = model.add(6, captured);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, "diverged");
    EXPECT_THAT(added.error().message, HasSubstr("step 7"));
  }
}

TEST(Regularizers, AFailingFunctionIsItsError) {
  Model model("error('no')");
  const Status added = model.add(0, true);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, "script_error");
}

}  // namespace
}  // namespace bitloop::trainer
