#include "trainer/audit/gradients.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include "lua/tensor/backward_error.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kRows = 16;  // of the activation

// Numbers of both signs, none of them 0.
at::Tensor waves(at::IntArrayRef shape, double step, at::Device device) {
  return at::sin(at::arange(1, c10::multiply_integers(shape) + 1, at::kFloat).mul_(step))
      .view(shape)
      .to(device);
}

// "" where a gradient arrives, else what is missing in `function`.
std::string missing(const char* function, const at::Tensor& gradient) {
  if (gradient.defined() && gradient.count_nonzero().item<int64_t>() > 0) return "";
  return fmt::format(
      "the gradient of {}'s surrogate is 0 everywhere, so that training can't move what it stands "
      "for (round() and sign() have none: take ste_round, or no surrogate at all)",
      function);
}

Result<std::string> weight_side(BitLinear& layer, const ForwardContext& context) {
  BITLOOP_TRY(quantize_weight(layer, context));
  if (layer.used_weight.is_same(layer.weight)) return std::string();  // float weights
  const at::Device device = layer.weight.device();
  layer.weight.mutable_grad() = at::Tensor();
  layer.used_weight.mutable_grad() = waves(layer.used_weight.sizes(), 0.7, device);
  if (layer.row_bias.defined())
    layer.row_bias.mutable_grad() = waves(layer.row_bias.sizes(), 0.3, device);
  finish_weight_gradient(layer, context);
  const std::string said = missing("weight_quant", layer.weight.grad());
  if (context.quantizer->has("regularizer")) {
    BITLOOP_ASSIGN(term, regularizer(layer, context));
    if (term.requires_grad()) torch::autograd::backward({term}, {});
  }
  return said;
}

Result<std::string> activation_side(BitLinear& layer, const ForwardContext& context) {
  const at::Device device = layer.weight.device();
  const at::Tensor x = waves({kRows, layer.layer.in_features}, 1.3, device).requires_grad_(true);
  BITLOOP_ASSIGN(made, quantize_activation(layer, x, context, false));
  if (made.gate.is_same(x)) return std::string();  // straight through
  torch::autograd::backward({made.gate}, {waves(x.sizes(), 0.9, device)});
  return missing("activation_quant", x.grad());
}

Result<std::string> both_sides(BitLinear& layer, const ForwardContext& context) {
  at::AutoGradMode grad(true);
  return lua::catching_backward([&]() -> Result<std::string> {
    BITLOOP_ASSIGN(weight, weight_side(layer, context));
    BITLOOP_ASSIGN(activation, activation_side(layer, context));
    BITLOOP_TRY(gradients_reach_parameters(layer));
    return weight.empty() ? activation : weight;
  });
}

}  // namespace

Status gradients_reach_parameters(const BitLinear& layer) {
  for (const auto& [name, parameter] : layer.params)
    if (!parameter.grad().defined())
      return fail(
          "script_error",
          fmt::format("no gradient reaches parameter '{}' of layer {}: use it in a surrogate "
                      "or row_bias, or keep it in state",
                      name, layer.layer.name));
  return {};
}

Finding audit_gradients(BitLinear& layer, const ForwardContext& context) {
  for (const auto& [name, parameter] : layer.params) {
    at::Tensor tensor = parameter;
    tensor.mutable_grad() = at::Tensor();
  }
  const auto said = both_sides(layer, context);
  if (!said) return {"gradients", false, said.error().message, said.error().code};
  if (!said->empty()) return {"gradients", true, "careful: " + *said, ""};
  return {"gradients", true, "gradients reach the weights and every parameter", ""};
}

}  // namespace bitloop::trainer
