#include "harness/tasks/estimate.h"

#include <algorithm>
#include <string>

namespace bitloop::tasks {
namespace {

// Bytes a parameter: float32 of its own, its gradient's and two moments', and bfloat16 for
// products.
constexpr double kStateBytes = 4 + 4 + 8 + 2;
// Numbers of bfloat16 that a token keeps, in units of the width (trainer/model/device_step.h): 17 a
// layer, and 10 that all layers share.
constexpr double kLayerRows = 17, kSharedRows = 10;
constexpr int64_t kHeadRows = 16384;  // logits of so many tokens at a time
constexpr double kLibraries = 2.5e9;  // CUDA, cuBLAS, cuDNN and their workspaces

}  // namespace

Result<Estimate> estimate(const nlohmann::json& preset, const Gpus& gpus) {
  const nlohmann::json &model = preset.at("model"), &train = preset.at("train");
  if (model.at("architecture") != "gpt2")
    return fail("bad_preset", "estimate knows the architecture gpt2 only");
  const auto of = [](const nlohmann::json& from, const char* key) {
    return from.at(key).get<int64_t>();
  };
  const int64_t D = of(model, "width"), L = of(model, "layers"), V = of(model, "padded_vocab_size"),
                T = of(model, "context");
  const bool bias = model.at("bias").get<bool>();
  Estimate made;
  const int64_t matrices = 12 * L * D * D, biases = bias ? 9 * L * D : 0, norms = (4 * L + 2) * D;
  made.parameters = V * D + T * D + matrices + biases + norms;
  made.tokens = of(train, "steps") * of(train, "batch") * T;
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  made.flops_per_token = 6 * (real(matrices) + real(V * D)) + 6 * real(L) * real(T) * real(D);
  made.tokens_per_s = gpus.tflops * 1e12 * gpus.share * real(gpus.count) / made.flops_per_token;
  made.hours = real(made.tokens) / made.tokens_per_s / 3600;
  const int64_t rows = of(train, "micro_batch") * T;
  made.state_bytes = kStateBytes * real(made.parameters);
  made.activation_bytes = 2 * real(rows) * real(D) * (kLayerRows * real(L) + kSharedRows);
  made.other_bytes = kLibraries + 2 * real(std::min(rows, kHeadRows)) * real(V);
  return made;
}

}  // namespace bitloop::tasks
