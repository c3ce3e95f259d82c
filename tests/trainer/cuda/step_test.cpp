// Whole training steps on the GPU against autograd on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/trainer/cuda/on_gpu.h"
#include "tests/trainer/model/training_step.h"
#include "trainer/model/device_step.h"
#include "trainer/model/device_weights.h"

namespace bitloop::trainer {
namespace {

ModelConfig gpu_model() {
  ModelConfig model = small_model();
  model.width = 128;
  model.heads = 2;
  model.vocab_size = 300;
  model.padded_vocab_size = 320;
  model.context = 64;
  model.layers = 2;
  return model;
}

TEST_F(OnGpu, AStepIsAutograds) {
  for (const char* quantizer : {"float", "ternary", "group64", "binary", "twn", "five_levels"})
    for (const bool integer : {false, true}) {
      SCOPED_TRACE(std::string(quantizer) + (integer ? " integer" : ""));
      const Case c{
          .name = "", .quantizer = quantizer, .model = gpu_model(), .batch = 4, .micro_batches = 2};
      const Batch batch = random_batch(c);
      Trainer on_cpu(c), there(c, at::kCUDA);
      const Outcome exact = on_cpu.step(batch, Products::kFloat32, false),
                    rounded = on_cpu.step(batch, Products::kBfloat16, false);
      DeviceTraining pass(there.model(), 2, gpu(), integer);
      const auto captured = pass.capture(*load(quantizer), {});
      ASSERT_TRUE(captured) << captured.error().message;
      compare(there.step_with(pass, batch), exact, rounded);
      DeviceWeights weights(gpu());
      ASSERT_TRUE(weights.capture(there.model().bitlinears(), *load(quantizer), {}));
      there.use(weights);
      const Outcome got = there.step_with(pass, batch);
      compare(got, exact, rounded);
      const Outcome again = there.step_with(pass, batch);
      EXPECT_EQ(again.loss, got.loss);
      for (const auto& [name, gradient] : got.gradients)
        EXPECT_TRUE(at::equal(again.gradients.at(name), gradient)) << name;
    }
}

// Codes and scales of each file's program on the GPU against its function on the CPU.
TEST_F(OnGpu, WeightsAreTheFunctionsOwn) {
  int captured = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    const std::string name = entry.path().stem();
    SCOPED_TRACE(name);
    const Case c{.name = name, .quantizer = name, .model = gpu_model()};
    Trainer on_cpu(c), there(c, at::kCUDA);
    const auto quantizer = load(name);
    DeviceWeights weights(gpu());
    ForwardContext context{.quantizer = quantizer.get(), .training = true};
    const auto layers = on_cpu.model().bitlinears(), moved = there.model().bitlinears();
    ASSERT_TRUE(weights.capture(moved, *quantizer, context));
    if (!weights.reason().empty() || !quantizer->format().quantizes_weights ||
        quantizer->has("row_bias"))
      continue;
    ++captured;
    ASSERT_TRUE(quantize_weights(layers, context));
    for (BitLinear* layer : moved) layer->latent = layer->weight;
    const auto packed = weights.pack(moved, context);
    for (size_t i = 0; i < layers.size(); ++i) {
      ASSERT_TRUE(packed[i] && *packed[i]);
      const Operand& eager = layers[i]->weight_operand;
      const at::Tensor gap =
          ((*packed[i])->codes_int8.cpu().to(at::kInt) - eager.codes_int8.to(at::kInt)).ne(0);
      EXPECT_LE(gap.sum().item<int64_t>(), 2 + gap.numel() / 5000);
      EXPECT_LT(distance((*packed[i])->scale, eager.scale), 1e-3);
    }
  }
  EXPECT_GE(captured, 8);
}

}  // namespace
}  // namespace bitloop::trainer
