// The accelerator's training step: with the plain loops everywhere, with CUDA's kernels where a GPU
// is (tests/trainer/cuda).
#include "trainer/model/device_step.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <set>
#include <string>

#include "tests/trainer/model/training_step.h"
#include "trainer/kernels/timed_kernels.h"
#include "trainer/model/device_weights.h"

namespace bitloop::trainer {
namespace {

ModelConfig device_model() {
  ModelConfig model = small_model();
  model.width = 64;
  model.heads = 4;
  model.vocab_size = 100;
  model.padded_vocab_size = 128;
  model.context = 24;
  model.layers = 2;
  return model;
}

struct DeviceCase : Case {
  bool integer = false;
};

void PrintTo(const DeviceCase& c, std::ostream* out) { *out << c.name; }

std::vector<DeviceCase> cases() {
  std::vector<DeviceCase> all;
  for (const char* quantizer :
       {"float", "ternary", "group64", "binary", "twn", "percentile85", "five_levels", "tequila"})
    for (const bool integer : {false, true}) {
      DeviceCase c;
      c.name = std::string(quantizer) + (integer ? "_integer" : "");
      c.quantizer = quantizer;
      c.model = device_model();
      c.batch = 4;
      c.micro_batches = 2;
      c.integer = integer;
      all.push_back(c);
    }
  DeviceCase row_bias = all[2];
  row_bias.name = "row_bias";
  row_bias.quantizer = R"(
local Q = {name = "b", levels = {-1, 1}}
function Q.weight_quant(w, ctx)
  local s = w:abs():mean{dim = -1, keepdim = true}
  return torch.where(w:lt(0), torch.full_like(w, -1), torch.full_like(w, 1)), s
end
function Q.row_bias(w, codes, ctx) return w:mean{dim = -1} end
return Q
)";
  all.push_back(row_bias);
  DeviceCase head = all[2];
  head.name = "quantised_head";
  head.quantize_head = true;
  all.push_back(head);
  // The task would have the head quantised, the candidate leaves all weights float: the head's
  // gradient and the lookup's are of one tensor.
  DeviceCase float_head = all[0];
  float_head.name = "float_in_a_quantised_head";
  float_head.quantize_head = true;
  all.push_back(float_head);
  DeviceCase nearly_whole = all[3];
  nearly_whole.name = "codes_within_the_snap";
  nearly_whole.quantizer = R"(
local Q = {name = "near", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx)
  local scale = w:abs():mean():clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / scale):round():clamp{min = -128, max = 127} + 4e-7, scale
end
return Q
)";
  all.push_back(nearly_whole);
  DeviceCase no_bias = all[3];
  no_bias.name = "no_bias";
  no_bias.model.bias = false;
  all.push_back(no_bias);
  return all;
}

class DeviceStep : public testing::TestWithParam<DeviceCase> {
 protected:
  void SetUp() override { at::manual_seed(17); }
  std::unique_ptr<kernels::DeviceKernels> kernels_ = kernels::reference_kernels();
};

TEST_P(DeviceStep, LossAndEveryGradientAreAutograds) {
  const DeviceCase& c = GetParam();
  ASSERT_EQ(DeviceTraining::refuses(c.model, c.batch / c.micro_batches), "");
  const Batch batch = random_batch(c);
  Trainer trainer(c);
  const Outcome exact = trainer.step(batch, Products::kFloat32, false);
  const Outcome rounded = trainer.step(batch, Products::kBfloat16, false);
  const std::unique_ptr<lua::Quantizer> on_cpu = load(c.quantizer);
  DeviceTraining device(trainer.model(), c.batch / c.micro_batches, *kernels_, c.integer);
  const Status captured = device.capture(*on_cpu, {});
  ASSERT_TRUE(captured) << captured.error().message;
  const Outcome eager_weights = trainer.step_with(device, batch);
  compare(eager_weights, exact, rounded);
  DeviceWeights weights(*kernels_);
  ASSERT_TRUE(weights.capture(trainer.model().bitlinears(), *on_cpu, {}));
  trainer.use(weights);
  const Outcome got = trainer.step_with(device, batch);
  compare(got, exact, rounded);
  if (weights.reason().empty() && c.quantizer != "float" && !on_cpu->has("row_bias")) {
    for (const BitLinear* layer : trainer.model().bitlinears())
      EXPECT_FALSE(layer->weight_operand.value.defined()) << "made operation by operation";
  }
  const Outcome again = trainer.step_with(device, batch);
  EXPECT_EQ(again.loss, got.loss);
  for (const auto& [name, gradient] : got.gradients)
    EXPECT_TRUE(at::equal(again.gradients.at(name), gradient)) << name;
}

// What is announced is not changed any more, and is what the parameters have in the end.
TEST_P(DeviceStep, GradientsThatAreAnnouncedAreWhole) {
  const DeviceCase& c = GetParam();
  Trainer trainer(c);
  const std::unique_ptr<lua::Quantizer> on_cpu = load(c.quantizer);
  DeviceTraining device(trainer.model(), c.batch / c.micro_batches, *kernels_, c.integer);
  ASSERT_TRUE(device.capture(*on_cpu, {}));
  std::vector<std::vector<at::Tensor>> announced;
  const auto keep = [&](size_t group) {
    ASSERT_EQ(group, announced.size());
    auto& copies = announced.emplace_back();
    const auto groups = device.early_gradients();
    for (const at::Tensor& gradient : groups.at(group)) copies.push_back(gradient.clone());
  };
  ASSERT_TRUE(trainer.try_step_with(device, random_batch(c), keep));
  const auto groups = device.early_gradients();
  ASSERT_EQ(announced.size(), groups.size());
  EXPECT_EQ(groups.size(), 1 + static_cast<size_t>(c.model.layers));
  std::set<const at::TensorImpl*> early;
  for (size_t i = 0; i < groups.size(); ++i)
    for (size_t k = 0; k < groups[i].size(); ++k) {
      // What a row bias is made of adds to its weight's gradient after the passes.
      if (groups[i][k].dim() == 1 || !on_cpu->has("row_bias")) {
        EXPECT_TRUE(at::equal(groups[i][k], announced[i][k])) << i << " " << k;
      }
      EXPECT_TRUE(early.insert(groups[i][k].unsafeGetTensorImpl()).second) << "twice";
    }
  // All but the embeddings', to which a tied head adds.
  for (const auto& [name, tensor] : trainer.model().named_parameters())
    if (!name.starts_with("wte") && !name.starts_with("wpe") && tensor.dim() == 1) {
      EXPECT_TRUE(early.contains(tensor.grad().unsafeGetTensorImpl())) << name;
    }
}

TEST(DeviceStepInt8Gradients, AreNearTheOthers) {
  DeviceCase c = cases()[3];
  ASSERT_EQ(c.name, "ternary_integer");
  const auto kernels = kernels::reference_kernels();
  at::manual_seed(17);
  const Batch batch = random_batch(c);
  Trainer trainer(c);
  const auto on_cpu = load(c.quantizer);
  const auto gradients = [&](bool int8) {
    DeviceTraining pass(trainer.model(), c.batch / c.micro_batches, *kernels, true, int8);
    EXPECT_TRUE(pass.capture(*on_cpu, {}));
    DeviceWeights weights(*kernels);
    EXPECT_TRUE(weights.capture(trainer.model().bitlinears(), *on_cpu, {}));
    trainer.use(weights);
    return trainer.step_with(pass, batch);
  };
  const Outcome want = gradients(false), got = gradients(true);
  EXPECT_EQ(got.loss, want.loss);
  EXPECT_LT(distance_of_gradients(got, want), 0.03);
  EXPECT_GT(distance_of_gradients(got, want), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Quantizers, DeviceStep, testing::ValuesIn(cases()),
                         [](const auto& one) { return one.param.name; });

// Codes and scales of the programs are those of the function, for every file that can be captured.
TEST(DeviceStepTimes, AreSpansOfADeviceThatIsWaitedFor) {
  const DeviceCase c = cases()[2];
  at::manual_seed(17);
  const Batch batch = random_batch(c);
  const auto loss = [&](kernels::DeviceKernels& device) {
    Trainer trainer(c);
    DeviceTraining pass(trainer.model(), c.batch / c.micro_batches, device, false);
    EXPECT_TRUE(pass.capture(*load(c.quantizer), {}));
    return trainer.step_with(pass, batch).loss;
  };
  const auto plain = kernels::reference_kernels();
  kernels::TimedKernels timed(kernels::reference_kernels());
  kernels::SpanRecorder recorder(1, 10'000);
  const double untimed_loss = loss(*plain);
  {
    const kernels::RecordingSpans recording(recorder);
    EXPECT_EQ(loss(timed), untimed_loss);
  }
  std::set<std::string> seen;
  for (const auto& [part, name] : recorder.lanes()[0].names)
    if (part == "GPU") seen.insert(name);
  for (const char* what : {"product forward", "product for weights", "product for activations",
                           "attention", "attention backward", "cross-entropy", "embedding"})
    EXPECT_TRUE(seen.contains(what)) << what;
}

TEST(DeviceWeightsTest, AreTheFunctionsOwn) {
  const auto kernels = kernels::reference_kernels();
  int captured = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    const std::string name = entry.path().stem();
    SCOPED_TRACE(name);
    Trainer trainer({.name = name, .quantizer = name, .model = device_model()});
    const auto quantizer = load(name);
    DeviceWeights weights(*kernels);
    const auto layers = trainer.model().bitlinears();
    ForwardContext context{.quantizer = quantizer.get(), .training = true};
    ASSERT_TRUE(weights.capture(layers, *quantizer, context));
    if (!weights.reason().empty() || !quantizer->format().quantizes_weights ||
        quantizer->has("row_bias"))
      continue;
    ++captured;
    ASSERT_TRUE(quantize_weights(layers, context));
    std::vector<Operand> eager;
    for (const BitLinear* layer : layers) eager.push_back(layer->weight_operand);
    const auto packed = weights.pack(layers, context);
    for (size_t i = 0; i < layers.size(); ++i) {
      ASSERT_TRUE(packed[i] && *packed[i]);
      EXPECT_TRUE(at::equal((*packed[i])->codes_int8, eager[i].codes_int8));
      EXPECT_TRUE(at::allclose((*packed[i])->scale, eager[i].scale, 1e-3));
      EXPECT_EQ((*packed[i])->stored_numbers, eager[i].stored_numbers);
    }
  }
  EXPECT_GE(captured, 8);
}

TEST(DeviceWeightsTest, LeaveWhatIsNotAllowedToTheFunction) {
  const auto kernels = kernels::reference_kernels();
  Trainer trainer({.name = "", .quantizer = "ternary", .model = device_model()});
  const auto quantizer = load("ternary");
  DeviceWeights weights(*kernels);
  const auto layers = trainer.model().bitlinears();
  const ForwardContext context{
      .quantizer = quantizer.get(), .training = true, .weight_programs = &weights};
  ASSERT_TRUE(weights.capture(layers, *quantizer, context));
  layers[1]->weight.detach().view({-1})[3] = std::numeric_limits<float>::quiet_NaN();
  const Status quantized = quantize_weights(layers, context);
  ASSERT_FALSE(quantized);
  EXPECT_EQ(quantized.error().code, "diverged");
}

TEST(DeviceStepRefusals, SayWhatStandsInTheWay) {
  EXPECT_EQ(DeviceTraining::refuses(*shipped_quantizer("ternary")), "");
  EXPECT_NE(DeviceTraining::refuses(*shipped_quantizer("quest_ternary")), "");
  ModelConfig other = device_model();
  other.width = 40;
  EXPECT_NE(DeviceTraining::refuses(other, 2), "");
  other.width = 2560;
  EXPECT_NE(DeviceTraining::refuses(other, 2), "");
}

// A function of groups, of the number of rows, and one with a surrogate.
TEST(DeviceStepRefusals, WhatIsNoProgramOnWholeRows) {
  const std::string head = R"(
local Q = {name = "x", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx) return w:sign(), w:abs():mean():clamp{min = 1e-5} end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 100
)",
                    tail = "\nend\nreturn Q\n";
  for (const char* body :
       {"return (x / s):round():clamp{min = -1, max = x:size(0)}, s",
        "return {codes = (x / s):round(), scale = s, surrogate = x:clamp{min = -1, max = 1}}"}) {
    SCOPED_TRACE(body);
    const auto kernels = kernels::reference_kernels();
    Trainer trainer({.name = "", .quantizer = head + body + tail, .model = device_model()});
    const auto on_cpu = load(head + body + tail);
    DeviceTraining device(trainer.model(), 3, *kernels, false);
    const Status captured = device.capture(*on_cpu, {});
    ASSERT_FALSE(captured);
    EXPECT_EQ(captured.error().code, "not_captured") << captured.error().message;
  }
}

TEST(DeviceStepRefusals, ACodeOutOfRangeRejectsTheCandidate) {
  const auto kernels = kernels::reference_kernels();
  Case c{.name = "",
         .quantizer = R"(
local Q = {name = "far", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx) return w:sign(), w:abs():mean():clamp{min = 1e-5} end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 200
  return (x / s):round(), s
end
return Q
)",
         .model = device_model()};
  Trainer trainer(c);
  const auto on_cpu = load(c.quantizer);
  DeviceTraining device(trainer.model(), 3, *kernels, false);
  ASSERT_TRUE(device.capture(*on_cpu, {}));
  const auto refused = trainer.try_step_with(device, random_batch(c));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "rejected");
  EXPECT_THAT(refused.error().message, testing::HasSubstr("h.0.attn.c_attn"));
}

// A failure where functions are only looked at, on this processor, sends training another way.
TEST(DeviceStepRefusals, AFunctionThatFailsWhenItIsLookedAtIsNotCaptured) {
  const auto kernels = kernels::reference_kernels();
  const std::string failing = R"(
local Q = {name = "large", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx)
  if ctx.training then torch.zeros{1 << 20, 1 << 10} end
  return w:sign(), w:abs():mean():clamp{min = 1e-5}
end
function Q.activation_quant(x, ctx)
  if ctx.training then torch.zeros{1 << 20, 1 << 10} end
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 100
  return (x / s):round(), s
end
return Q
)";
  Trainer trainer({.name = "", .quantizer = failing, .model = device_model()});
  const auto on_cpu = load(failing);
  DeviceTraining device(trainer.model(), 3, *kernels, false);
  const Status captured = device.capture(*on_cpu, {.training = true});
  ASSERT_FALSE(captured);
  EXPECT_EQ(captured.error().code, "not_captured") << captured.error().message;
  DeviceWeights weights(*kernels);
  EXPECT_TRUE(weights.capture(trainer.model().bitlinears(), *on_cpu, {.training = true}));
  EXPECT_NE(weights.reason(), "");
}

}  // namespace
}  // namespace bitloop::trainer
