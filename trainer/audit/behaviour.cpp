#include "trainer/audit/behaviour.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "harness/base/sha256.h"
#include "lua/tensor/backward_error.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/candidate.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kLambdas = 200;        // looks at Q.lambda
constexpr int64_t kRows = 16;            // of the activation
constexpr double kWeightSize = 0.02;     // as GPT-2 is initialised
constexpr double kActivationSize = 1.0;  // after a LayerNorm

// Numbers of both signs and many sizes, without pattern, some of them far out as activations have
// them, and the last row zeros; by integers alone, so that no library's last bit is in them.
at::Tensor probe(at::IntArrayRef shape, double size, at::Device device) {
  constexpr uint32_t kMultiplier = 1664525, kIncrement = 1013904223;  // Numerical Recipes' LCG
  constexpr float kHalfRange = 32768;
  at::Tensor made = at::empty(shape, at::kFloat);
  float* const numbers = made.data_ptr<float>();
  constexpr int64_t kOutlierEvery = 97;
  constexpr float kOutlier = 32;
  uint32_t state = 1;
  for (int64_t i = 0; i < made.numel(); ++i) {
    state = state * kMultiplier + kIncrement;
    numbers[i] = (static_cast<float>(state >> 16) - kHalfRange) / kHalfRange *
                 (2 * static_cast<float>(size)) * (i % kOutlierEvery == 0 ? kOutlier : 1.0f);
  }
  if (made.dim() == 2) made.narrow(0, made.size(0) - 1, 1).zero_();
  return made.to(device);
}

class Digest {
 public:
  void add(std::string_view text) {
    hash_.add(text);
    hash_.add(std::string_view("\0", 1));
  }
  void add(double number) { hash_.add(&number, sizeof number); }
  void add(const at::Tensor& tensor) {
    if (!tensor.defined()) return add("none");
    for (const int64_t size : tensor.sizes()) add(static_cast<double>(size));
    const at::Tensor plain = tensor.detach().cpu().contiguous().to(at::kFloat);
    hash_.add(plain.data_ptr(), static_cast<size_t>(plain.numel()) * sizeof(float));
  }
  std::string finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
};

void add_format(Digest& digest, const lua::Quantizer& quantizer) {
  const lua::Format& format = quantizer.format();
  for (const double level : format.levels) digest.add(level);
  for (const int64_t number :
       {format.codebook_entries, format.codebook_block, format.group, int64_t{format.flat_groups},
        int64_t{format.activation_bits}, int64_t{format.scale_dtype == at::kHalf},
        int64_t{format.blend_output}, format.requantize_every, format.hadamard_block})
    digest.add(static_cast<double>(number));
  digest.add(quantizer.config().dump());
}

// The gradients of `output` (dotted with a probe) in `input` and the layer's parameters.
void add_gradients(Digest& digest, const at::Tensor& output, const at::Tensor& input,
                   const BitLinear& layer) {
  if (!output.defined() || !output.requires_grad()) return digest.add("no graph");
  std::vector<at::Tensor> inputs = {input};
  for (const auto& [name, parameter] : layer.params)
    if (parameter.requires_grad()) inputs.push_back(parameter);
  for (const at::Tensor& gradient : torch::autograd::grad(
           {output}, inputs, {probe(output.sizes(), 1.0, output.device())}, /*retain_graph=*/true,
           /*create_graph=*/false, /*allow_unused=*/true))
    digest.add(gradient);
}

void add_quantized(Digest& digest, const lua::Quantized& returned, const at::Tensor& input,
                   const BitLinear& layer) {
  for (const at::Tensor* part : {&returned.codes, &returned.scale, &returned.offset,
                                 &returned.codebook, &returned.surrogate})
    digest.add(*part);
  add_gradients(digest, returned.surrogate, input, layer);
}

Status add_weight(Digest& digest, lua::Quantizer& quantizer, const BitLinear& layer,
                  const lua::Context& context) {
  const at::Tensor w =
      probe(layer.weight.sizes(), kWeightSize, layer.weight.device()).requires_grad_(true);
  at::Tensor codes = w.detach();
  if (quantizer.has("weight_quant")) {
    BITLOOP_ASSIGN(returned, quantizer.weight_quant(w, context));
    add_quantized(digest, returned, w, layer);
    codes = returned.codes.detach();
  }
  if (quantizer.has("row_bias")) {
    BITLOOP_ASSIGN(bias, quantizer.row_bias(w, codes, context));
    digest.add(bias);
    add_gradients(digest, bias, w, layer);
  }
  if (quantizer.has("regularizer")) {
    BITLOOP_ASSIGN(term, quantizer.regularizer(w, codes, context));
    digest.add(term);
    add_gradients(digest, term, w, layer);
  }
  if (quantizer.has("after_step") && context.training) {
    const at::NoGradGuard no_grad;
    BITLOOP_ASSIGN(state, quantizer.after_step(context, codes, w.detach()));
    for (const auto& [name, tensor] : state) digest.add(tensor);
  }
  return {};
}

Status add_activation(Digest& digest, lua::Quantizer& quantizer, const BitLinear& layer,
                      const lua::Context& context) {
  const at::Tensor x =
      probe({kRows, layer.layer.in_features}, kActivationSize, layer.weight.device())
          .requires_grad_(true);
  if (quantizer.has("input")) {
    BITLOOP_ASSIGN(changed, quantizer.input(x, context));
    digest.add(changed);
    add_gradients(digest, changed, x, layer);
  }
  if (quantizer.has("activation_quant")) {
    BITLOOP_ASSIGN(returned, quantizer.activation_quant(x, context));
    add_quantized(digest, returned, x, layer);
  }
  return {};
}

// The first layer of each kind, and the last.
std::vector<BitLinear*> probed_layers(Transformer& model) {
  const auto& all = model.bitlinears();
  std::vector<BitLinear*> probed;
  std::set<std::string> kinds;
  for (BitLinear* layer : all)
    if (kinds.insert(layer->layer.kind).second || layer == all.back()) probed.push_back(layer);
  return probed;
}

Result<std::string> digest_of(Run& run) {
  Digest digest;
  add_format(digest, *run.quantizer);
  const int64_t steps = run.job.train.steps;
  for (int64_t i = 0; i <= kLambdas; ++i) {
    BITLOOP_ASSIGN(lambda, run.lambda((steps - 1) * i / kLambdas));
    digest.add(lambda);
  }
  for (const AdamW::Slot& slot : run.quantizer_slots) {
    digest.add(slot.lr_scale);
    digest.add(slot.weight_decay);
  }
  const ForwardContext contexts[] = {run.context(0, true), run.context(steps / 2, true),
                                     run.context(steps * 9 / 10, true), run.context(steps, false)};
  for (const BitLinear* layer : probed_layers(*run.model)) {
    digest.add(layer->weight);
    for (const auto& [name, parameter] : layer->params) digest.add(parameter);
    for (const auto& [name, tensor] : layer->state) digest.add(tensor);
    for (const ForwardContext& context : contexts) {
      const lua::Context script = script_context(*layer, context);
      BITLOOP_TRY(add_weight(digest, *run.quantizer, *layer, script));
      BITLOOP_TRY(add_activation(digest, *run.quantizer, *layer, script));
    }
  }
  return digest.finish();
}

}  // namespace

std::optional<std::string> behaviour_digest(Run& run) {
  if (!run.quantizer->format().quantizes_weights && !run.quantizer->format().quantizes_activations)
    return std::nullopt;  // nothing of it reaches a probe
  const at::AutoGradMode grad(true);
  const auto digest =
      lua::catching_backward([&]() -> Result<std::string> { return digest_of(run); });
  if (!digest) return std::nullopt;
  return *digest;
}

}  // namespace bitloop::trainer
