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
constexpr int64_t kEagerSequences = 8;
constexpr int64_t kHeadRows = 16384;  // logits of so many tokens at a time
constexpr double kLibraries = 2.5e9;  // CUDA, cuBLAS, cuDNN and their workspaces

int64_t of(const nlohmann::json& from, const char* key) { return from.at(key).get<int64_t>(); }

// What the blocks and embeddings of a model hold.
struct Sizes {
  int64_t matrices = 0;  // weights of the blocks' linear layers
  int64_t biases = 0, norms = 0, embeddings = 0;
  // Numbers of float32 that autograd keeps of a token in each layer; 0: our own kernels train it.
  double kept_by_autograd = 0;
};

Sizes sizes_of(const nlohmann::json& model) {
  const int64_t D = of(model, "width"), L = of(model, "layers"), V = of(model, "padded_vocab_size");
  const bool bias = model.at("bias").get<bool>();
  if (model.at("architecture") == "gpt2")
    return {12 * L * D * D, bias ? 9 * L * D : 0, (4 * L + 2) * D,
            V * D + of(model, "context") * D};
  const int64_t H = of(model, "heads"), F = of(model, "ffn_width"),
                keys = (model.contains("kv_heads") ? of(model, "kv_heads") : H) * (D / H);
  Sizes made{L * (2 * D * D + 2 * D * keys + 3 * D * F),
             bias ? L * (2 * D + 2 * keys + 2 * F + D) : 0, (2 * L + 1) * D, V * D};
  if (!model.value("tied_head", true)) made.embeddings += V * D;
  // Of the norms, the residual sums, the turned and repeated heads, attention's output, and of each
  // layer its input and its quantised form; of the MLP five rows of F.
  constexpr double kRowsOfWidth = 24, kRowsOfHidden = 5;
  made.kept_by_autograd =
      kRowsOfWidth * static_cast<double>(D) + kRowsOfHidden * static_cast<double>(F);
  return made;
}

}  // namespace

Estimate estimate(const nlohmann::json& preset, const Gpus& gpus) {
  const nlohmann::json &model = preset.at("model"), &train = preset.at("train");
  const int64_t D = of(model, "width"), L = of(model, "layers"), V = of(model, "padded_vocab_size"),
                T = train.contains("sequence") ? of(train, "sequence") : of(model, "context");
  const Sizes sizes = sizes_of(model);
  Estimate made;
  made.parameters = sizes.embeddings + sizes.matrices + sizes.biases + sizes.norms;
  made.tokens = of(train, "steps") * of(train, "batch") * T;
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  made.flops_per_token = 6 * (real(sizes.matrices) + real(V * D)) + 6 * real(L) * real(T) * real(D);
  made.tokens_per_s = gpus.tflops * 1e12 * gpus.share * real(gpus.count) / made.flops_per_token;
  made.hours = real(made.tokens) / made.tokens_per_s / 3600;
  made.state_bytes = kStateBytes * real(made.parameters);
  if (sizes.kept_by_autograd > 0) {
    // Few sequences at a time, with all their logits in float32 (trainer/loop/prepare.cpp).
    const int64_t rows = std::min(of(train, "micro_batch"), kEagerSequences) * T;
    made.activation_bytes = 4 * real(rows) * sizes.kept_by_autograd * real(L);
    made.other_bytes = kLibraries + 3 * 4 * real(rows) * real(V);
    return made;
  }
  const int64_t rows = of(train, "micro_batch") * T;
  made.activation_bytes = 2 * real(rows) * real(D) * (kLayerRows * real(L) + kSharedRows);
  made.other_bytes = kLibraries + 2 * real(std::min(rows, kHeadRows)) * real(V);
  return made;
}

}  // namespace bitloop::tasks
