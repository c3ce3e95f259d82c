// The weight side of BitLinear: quantised once a step, its gradient passed on once a step.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>
#include <cmath>
#include <optional>

#include "lua/tensor/hadamard.h"
#include "trainer/kernels/codes.h"
#include "trainer/kernels/team.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/candidate.h"

namespace bitloop::trainer {
namespace {

// weight_quant by its program, or as it is.
Result<lua::Quantized> call_weight_quant(BitLinear& layer, const ForwardContext& context) {
  const lua::Context script = script_context(layer, context);
  layer.weight_program = false;
  if (context.captured) {
    Capture& capture = layer.weight_capture;
    BITLOOP_TRY(capture_once(
        capture,
        [&](const at::Tensor& w, lua::Recording* recording) {
          return context.quantizer->weight_quant(w, script, recording);
        },
        layer.latent, layer.params, layer.state));
    if (capture.state == Capture::kCaptured) {
      layer.weight_program = true;
      return (*capture.function)(layer.latent, layer.params, layer.state);
    }
  }
  return call_recording(layer.weight_surrogate,
                        [&] { return context.quantizer->weight_quant(layer.latent, script); });
}

// Whether a step reads nothing of the weights but their integers and scales.
bool reads_integers_only(const ForwardContext& context) {
  const lua::Quantizer& quantizer = *context.quantizer;
  const lua::Format& format = quantizer.format();
  return (context.lambda == 1.0 || format.blend_output) && format.quantizes_activations &&
         format.activation_bits <= 8 && !format.flat_groups && !quantizer.has("row_bias") &&
         !quantizer.has("after_step") && !quantizer.has("regularizer");
}

bool wants_integers_only(const BitLinear& layer, const ForwardContext& context) {
  return context.captured && layer.weight_capture.state == Capture::kCaptured &&
         at::IntArrayRef(layer.weight_capture.shape) == layer.latent.sizes() &&
         reads_integers_only(context);
}

// The program's codes straight to their integers, without a matrix of floats in memory. Nothing
// where there is no such form, or a code is not allowed: then the usual way says which.
using MaybeOperand = std::optional<Operand>;
Result<MaybeOperand> pack_by_program(BitLinear& layer, const ForwardContext& context) {
  if (!wants_integers_only(layer, context)) return std::nullopt;
  const lua::Format& format = context.quantizer->format();
  const CapturedFunction& function = *layer.weight_capture.function;
  const lua::Graph& graph = function.graph();
  const PackedLevels levels = pack_levels(format);
  const int64_t scales = c10::multiply_integers(graph.scale_shape);
  if (levels.factor == 0 || graph.offset >= 0 || (scales != 1 && scales != layer.latent.size(0)))
    return std::nullopt;
  // Levels without a gap between integers that the program's last step makes anyway need no look.
  const float low = levels.levels.front(), high = levels.levels.back();
  const bool whole = levels.factor == 1 &&
                     std::ssize(levels.levels) - 1 == std::lround(high - low) &&
                     function.makes_whole_codes(low, high);
  const at::Tensor codes = at::empty(layer.latent.sizes(), at::kChar);
  auto* out = codes.data_ptr<int8_t>();
  std::atomic<bool> good = true;
  const lua::Quantized returned = function.pass_codes(
      layer.latent,
      [&](int64_t first, int64_t count, const float* from) {
        const int64_t n = count * graph.columns;
        int8_t* to = out + first * graph.columns;
        if (!(whole ? kernels::convert_int8_run(from, n, to)
                    : kernels::pack_levels_run(from, n, levels.levels, levels.integers, to)))
          good = false;
      },
      layer.params, layer.state);
  if (!good) return std::nullopt;
  BITLOOP_ASSIGN(operand, packed_weight_operand(returned, codes, levels.factor, layer.latent,
                                                format, layer.layer.name));
  layer.weight_program = true;
  return operand;
}

Status set_latent(BitLinear& layer, const lua::Format* format) {
  layer.latent = layer.weight;
  if (layer.stored || layer.stored_product) return {};
  if (!layer.quantized || format == nullptr || format->hadamard_block == 0) return {};
  if (layer.weight.size(1) % format->hadamard_block != 0)
    return fail("script_error",
                fmt::format("transform (layer {}): block {} does not divide its {} inputs",
                            layer.layer.name, format->hadamard_block, layer.weight.size(1)));
  layer.latent = lua::block_hadamard(layer.weight, format->hadamard_block);
  return {};
}

Status set_row_bias(BitLinear& layer, const ForwardContext& context, Operand& operand) {
  const lua::Format& format = context.quantizer->format();
  BITLOOP_ASSIGN(bias, context.quantizer->row_bias(layer.latent, operand.codes,
                                                   script_context(layer, context)));
  if (bias.numel() != layer.weight.size(0))
    return fail("script_error",
                fmt::format("row_bias (layer {}): expected {} numbers, one a row, got {}",
                            layer.layer.name, layer.weight.size(0), bias.numel()));
  BITLOOP_TRY(check_guard(context, "row_bias", layer));
  if (!at::isfinite(bias.detach().to(format.scale_dtype)).all().item<bool>())
    return fail("rejected", fmt::format("row_bias (layer {}): must be finite as it is stored",
                                        layer.layer.name));
  operand.stored_numbers += bias.numel();
  layer.row_bias_graph = bias.reshape({-1}) * context.lambda;
  layer.row_bias = layer.row_bias_graph.detach().to(format.scale_dtype).to(at::kFloat);
  if (at::GradMode::is_enabled()) layer.row_bias.requires_grad_(true);
  return {};
}

bool stays_float(const BitLinear& layer, const ForwardContext& context) {
  return !layer.quantized || context.quantizer == nullptr ||
         !context.quantizer->format().quantizes_weights;
}

bool keeps_weights(const ForwardContext& context) {
  return context.training && context.quantizer->format().requantize_every > 1;
}

// Whether this step uses what was made at the last multiple of requantize_every.
bool uses_kept(const BitLinear& layer, const ForwardContext& context) {
  return keeps_weights(context) &&
         context.step % context.quantizer->format().requantize_every != 0 &&
         (layer.kept.codes.defined() || layer.kept.codes_int8.defined());
}

// The operand of this step: `given` by pack_by_program, made now, or kept.
Result<Operand> weight_of_step(BitLinear& layer, const ForwardContext& context,
                               Result<MaybeOperand> given) {
  if (uses_kept(layer, context)) return layer.kept;
  BITLOOP_ASSIGN(packed, std::move(given));
  Operand operand;
  if (packed) {
    operand = *std::move(packed);
  } else {
    BITLOOP_ASSIGN(returned, call_weight_quant(layer, context));
    BITLOOP_TRY(check_guard(context, "weight_quant", layer));
    BITLOOP_ASSIGN(made, make_weight_operand(returned, layer.latent, context.quantizer->format(),
                                             layer.layer.name));
    operand = std::move(made);
  }
  if (keeps_weights(context)) {
    operand.surrogate = at::Tensor();
    layer.kept = operand;
  }
  return operand;
}

// The gradient gathers in a tensor of the value's numbers, or where no step reads those, of the
// latent weight's.
void use_weight(BitLinear& layer, const at::Tensor& value) {
  layer.used_weight = value.detach();
  if (at::GradMode::is_enabled()) layer.used_weight.requires_grad_(true);
}

void add_gradient(at::Tensor tensor, const at::Tensor& gradient) {
  tensor.mutable_grad() = tensor.grad().defined() ? tensor.grad() + gradient : gradient;
}

// The rest of quantize_weights, after set_latent and pack_by_program.
Status quantize_layer(BitLinear& layer, const ForwardContext& context,
                      Result<MaybeOperand> packed) {
  const lua::Format* format = context.quantizer ? &context.quantizer->format() : nullptr;
  layer.row_bias = layer.row_bias_graph = at::Tensor();
  layer.packed = nullptr;
  layer.product = nullptr;
  if (stays_float(layer, context)) {
    layer.weight_operand = float_operand(layer.latent);
    layer.used_weight = layer.weight;
    if (!layer.latent.is_same(layer.weight)) use_weight(layer, layer.latent);
    if (context.packed) layer.packed = FloatWeight::pack(layer.latent);
    if (context.as_stored) layer.product = float_product(layer.latent.detach().contiguous());
    return {};
  }
  if (layer.stored_product) {
    TORCH_CHECK(context.as_stored, "the codes of this model stay packed");
    layer.row_bias = layer.stored_row_bias;
    layer.product = layer.stored_product;
    layer.weight_operand = Operand();
    layer.used_weight = layer.weight;
    return {};
  }
  if (layer.stored) {
    TORCH_CHECK(!context.training && context.lambda == 1.0, "a packed model can't be trained");
    layer.row_bias = layer.stored_row_bias;
    layer.used_weight = layer.stored->value;
    layer.weight_operand = *layer.stored;
    if (context.packed) layer.packed = FloatWeight::pack(layer.stored->value);
    if (context.as_stored) layer.product = float_product(layer.stored->value.contiguous());
    return {};
  }
  BITLOOP_ASSIGN(operand, weight_of_step(layer, context, std::move(packed)));
  if (context.quantizer->has("row_bias")) BITLOOP_TRY(set_row_bias(layer, context, operand));
  if (context.lambda < 1.0 && !format->blend_output) {
    materialise_value(operand, layer.latent, *format);  // a kept one may be integers alone
    operand.value = layer.latent.detach().lerp(operand.value, context.lambda);
    operand.codes_int8 = at::Tensor();
  }
  use_weight(layer, operand.value.defined() ? operand.value : layer.latent);
  if (context.packed) {
    materialise_value(operand, layer.latent, *format);
    layer.packed = FloatWeight::pack(operand.value);
  }
  if (context.as_stored) {
    materialise_value(operand, layer.latent, *format);
    // Of more levels than products read packed, the values are kept.
    layer.product = has_packed_product(*format)
                        ? packed_product(store_weight(operand, *format), operand, *format)
                        : float_product(operand.value.contiguous());
    operand = Operand();
  }
  layer.weight_operand = std::move(operand);
  return {};
}

}  // namespace

Status quantize_weights(std::span<BitLinear* const> layers, const ForwardContext& context) {
  const lua::Format* format = context.quantizer ? &context.quantizer->format() : nullptr;
  for (BitLinear* layer : layers) BITLOOP_TRY(set_latent(*layer, format));
  const auto may_pack = [&](const BitLinear& layer) {
    return !stays_float(layer, context) && !layer.stored && !layer.stored_product &&
           !uses_kept(layer, context);
  };
  // Programs read and write nothing but their layer, and run no candidate's code.
  std::vector<Result<MaybeOperand>> packed(layers.size(), std::nullopt);
  if (context.weight_programs != nullptr && context.quantizer != nullptr &&
      reads_integers_only(context)) {
    std::vector<BitLinear*> wanted;
    for (BitLinear* layer : layers) wanted.push_back(may_pack(*layer) ? layer : nullptr);
    packed = context.weight_programs->pack(wanted, context);
  }
  kernels::run_items(std::ssize(layers), [&](int64_t item) {
    const at::NoGradGuard no_grad;
    const auto i = static_cast<size_t>(item);
    if (context.weight_programs == nullptr && may_pack(*layers[i]))
      packed[i] = pack_by_program(*layers[i], context);
  });
  for (size_t i = 0; i < layers.size(); ++i)
    BITLOOP_TRY(quantize_layer(*layers[i], context, std::move(packed[i])));
  return {};
}

Status quantize_weight(BitLinear& layer, const ForwardContext& context) {
  BitLinear* const one[] = {&layer};
  return quantize_weights(one, context);
}

void finish_weight_gradient(BitLinear& layer, const ForwardContext& context) {
  if (layer.used_weight.is_same(layer.weight)) return;  // float layer: gathered in place
  const at::Tensor gradient = layer.used_weight.grad();
  if (!gradient.defined()) return;
  const lua::Format& format = context.quantizer->format();
  const auto to_weight = [&](const at::Tensor& of_latent) {
    add_gradient(layer.weight, format.hadamard_block > 0
                                   ? lua::block_hadamard(of_latent, format.hadamard_block)
                                   : of_latent);
  };
  const at::Tensor surrogate = layer.weight_operand.surrogate;
  // A kept value passes the gradient to the weight, blended outputs have the float path's.
  const bool straight = format.requantize_every > 1 || format.blend_output;
  const bool program =
      !straight && layer.weight_program && layer.weight_capture.function->has_surrogate();
  const bool graph = !straight && surrogate.defined() && surrogate.requires_grad();
  const double lambda = context.lambda;
  if (program) {
    const SurrogateGradient made = layer.weight_capture.function->backward(
        layer.latent, lambda < 1.0 ? gradient * lambda : gradient, layer.params, layer.state);
    if (made.argument.defined()) to_weight(made.argument);
    for (const auto& [name, part] : made.params) add_gradient(layer.params.at(name), part);
  } else if (graph) {
    torch::autograd::backward({surrogate}, {lambda < 1.0 ? gradient * lambda : gradient});
  }
  if (!program && !graph)
    to_weight(gradient);
  else if (lambda < 1.0)
    to_weight(gradient * (1.0 - lambda));
  if (layer.row_bias.defined() && layer.row_bias.grad().defined() &&
      layer.row_bias_graph.requires_grad())
    torch::autograd::backward({layer.row_bias_graph}, {layer.row_bias.grad()});
}

Result<at::Tensor> regularizer(BitLinear& layer, const ForwardContext& context) {
  return context.quantizer->regularizer(layer.latent, layer.weight_operand.value.detach(),
                                        script_context(layer, context));
}

Status after_step(BitLinear& layer, const ForwardContext& context) {
  BITLOOP_TRY(set_latent(layer, &context.quantizer->format()));  // the step has moved the weight
  BITLOOP_ASSIGN(state,
                 context.quantizer->after_step(script_context(layer, context),
                                               layer.weight_operand.codes, layer.latent.detach()));
  layer.state = std::move(state);
  return {};
}

}  // namespace bitloop::trainer
