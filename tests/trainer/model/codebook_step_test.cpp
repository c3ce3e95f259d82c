// The fused step with weights that have no integer form: values of a codebook, kept for some steps.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/trainer/model/training_step.h"

namespace bitloop::trainer {
namespace {

ModelConfig whole_sequences() {
  ModelConfig model = small_model();
  model.context = 32;
  return model;
}

// Scales of groups, and offsets: values too.
constexpr const char* kGroupsLua = R"(
local Q = {name = "g", levels = {0, 1, 2, 3}, group = 8}
function Q.weight_quant(w, ctx)
  local b = bitloop.blocks(w, 8)
  local low = b:amin{dim = -1, keepdim = true}
  local s = ((b:amax{dim = -1, keepdim = true} - low) / 3):clamp{min = 1e-5}
  return {codes = bitloop.unblocks(((b - low) / s):round():clamp{min = 0, max = 3}, w:size(1)),
          scale = s:squeeze(-1), offset = low:squeeze(-1)}
end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / s):round():clamp{min = -128, max = 127}, s
end
return Q
)";

// One scale for all rows of an activation, and a surrogate, beside such weights.
std::string with_one_scale() {
  std::string text = kGroupsLua;
  const size_t at = text.find("function Q.activation_quant");
  return text.substr(0, at) +
         "function Q.init(layer) return {params = {a = {value = torch.tensor(0.02)}}} end\n"
         "function Q.activation_quant(x, ctx)\n"
         "  local codes = bitloop.ste_round((x / ctx.params.a):clamp{min = -128, max = 127})\n"
         "  return {codes = codes, scale = ctx.params.a, surrogate = codes * ctx.params.a}\n"
         "end\nreturn Q\n";
}

class CodebookStep : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
    at::manual_seed(17);
  }
};

TEST_P(CodebookStep, LossAndEveryGradientAreAutogradsApartToo) {
  const Case& c = GetParam();
  const Batch batch = random_batch(c);
  Trainer trainer(c);
  const Outcome exact = trainer.step(batch, Products::kFloat32, false);
  const Outcome rounded = trainer.step(batch, Products::kBfloat16, false);
  const Outcome fused = trainer.step(batch, Products::kBfloat16, true);
  compare(fused, exact, rounded);
  // The first micro-batch records, the others go apart.
  const Outcome recording = trainer.step(batch, Products::kBfloat16, true, true);
  compare(recording, exact, rounded);
  EXPECT_EQ(trainer.fused()->went_apart(), c.micro_batches > 1);  // the second of them
  for (int i = 0; i < 5; ++i) {
    const Outcome apart = trainer.step(batch, Products::kBfloat16, true, true);
    EXPECT_TRUE(trainer.fused()->went_apart());
    EXPECT_EQ(apart.loss, recording.loss);
    for (const auto& [name, gradient] : recording.gradients)
      EXPECT_TRUE(at::equal(apart.gradients.at(name), gradient)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CodebookStep,
    testing::Values(
        Case{.name = "nativebit", .quantizer = "nativebit", .model = whole_sequences()},
        Case{.name = "nativebit_head",
             .quantizer = "nativebit",
             .model = whole_sequences(),
             .quantize_head = true,
             .batch = 6,
             .micro_batches = 2},
        Case{.name = "groups", .quantizer = kGroupsLua, .model = whole_sequences()},
        Case{.name = "one_scale", .quantizer = with_one_scale(), .model = whole_sequences()}),
    [](const auto& tested) { return tested.param.name; });

// Values are packed once for several steps: never those of another time.
TEST(KeptWeights, ArePackedAgainWhenTheyAreMadeAgain) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  std::string integers = kTernaryLua;
  integers.insert(integers.rfind("return Q"), "Q.requantize_every = 10\n");
  for (const std::string& quantizer : {std::string("nativebit"), integers}) {
    const Case c{.name = "", .quantizer = quantizer, .model = whole_sequences()};
    at::manual_seed(4);
    const Batch batch = random_batch(c);
    Trainer kept(c);
    double before = 0.0;
    for (int64_t step = 0; step < 23; ++step) {
      kept.at_step(step);
      const Outcome seen = kept.step(batch, Products::kBfloat16, true, true);
      // A pass that has packed nothing yet.
      const Outcome anew = kept.step_with_new_pass(batch);
      EXPECT_EQ(seen.loss, anew.loss) << step;
      for (const auto& [name, gradient] : anew.gradients)
        EXPECT_TRUE(at::equal(seen.gradients.at(name), gradient)) << step << " " << name;
      EXPECT_EQ(seen.loss == before, step % 10 != 0) << step;
      before = seen.loss;
      for (BitLinear* layer : kept.model().bitlinears())
        layer->weight.detach().mul_(1.01).add_(1e-3);
      // An evaluation and a warm-up in between disturb nothing.
      if (step == 13) kept.evaluate();
      if (step == 16) kept.fused()->warm();
    }
  }
}

}  // namespace
}  // namespace bitloop::trainer
