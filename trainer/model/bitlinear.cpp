#include "trainer/model/bitlinear.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/codes.h"

namespace bitloop::trainer {

lua::Context script_context(const BitLinear& layer, const ForwardContext& context) {
  return lua::Context{.step = context.step,
                      .total_steps = context.total_steps,
                      .training = context.training,
                      .layer = &layer.layer,
                      .params = &layer.params,
                      .state = &layer.state};
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Matrix product in the arithmetic asked for; float32 in and out.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, bool bfloat16) {
  if (!bfloat16) return at::mm(a, b);
  return at::mm(a.to(at::kBFloat16), b.to(at::kBFloat16)).to(at::kFloat);
}

uint16_t* bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<uint16_t*>(bfloat16.data_ptr<at::BFloat16>());
}

at::Tensor codes_to_bfloat16(const at::Tensor& codes) {
  const at::Tensor out = at::empty(codes.sizes(), codes.options().dtype(at::kBFloat16));
  kernels::int8_to_bfloat16(codes.const_data_ptr<int8_t>(), codes.numel(), bits(out));
  return out;
}

// dL/dx̂ (R, K) and dL/dŵ (N, K) of the integer form, products in bfloat16; undefined where not
// wanted. dy (R, N) carries the scales into the products, so one pass over it makes both factors.
std::pair<at::Tensor, at::Tensor> bfloat16_gradients(
    const at::Tensor& dy, const at::Tensor& x_codes, const at::Tensor& x_scale,
    const at::Tensor& w_codes, const at::Tensor& w_scale, bool want_dx, bool want_dw) {
  const at::TensorOptions options = dy.options().dtype(at::kBFloat16);
  const at::Tensor for_dx = want_dx ? at::empty(dy.sizes(), options) : at::Tensor(),
                   for_dw = want_dw ? at::empty(dy.sizes(), options) : at::Tensor();
  kernels::scale_to_bfloat16(dy.const_data_ptr<float>(), x_scale.const_data_ptr<float>(),
                             x_scale.numel() > 1, w_scale.const_data_ptr<float>(),
                             w_scale.numel() > 1, dy.size(0), dy.size(1),
                             want_dw ? bits(for_dw) : nullptr, want_dx ? bits(for_dx) : nullptr);
  at::Tensor dx, dw;
  if (want_dx) dx = at::mm(for_dx, codes_to_bfloat16(w_codes)).to(at::kFloat);
  if (want_dw) dw = at::mm(for_dw.t(), codes_to_bfloat16(x_codes)).to(at::kFloat);
  return {dx, dw};
}

// y = x̂ ŵᵀ + b on two operands, with the straight-through backward. `x_gate` and `w_gate` are the
// tensors that receive dL/dx̂ and dL/dŵ; their numbers are not read. In integer form the codes are
// exact in bfloat16 (8 significant bits), so the backward products use codes and apply the scales
// in float32: only dy is rounded.
struct QuantizedProduct : torch::autograd::Function<QuantizedProduct> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& /*x_gate*/,
                            const at::Tensor& /*w_gate*/, const std::optional<at::Tensor>& bias,
                            const Operand& x, const Operand& w, bool bfloat16) {
    const bool integer = x.codes_int8.defined() && w.codes_int8.defined();
    ctx->saved_data["integer"] = integer;
    ctx->saved_data["bfloat16"] = bfloat16;
    ctx->saved_data["has_bias"] = bias.has_value();
    if (integer) {
      ctx->save_for_backward({x.codes_int8, x.int8_scale, w.codes_int8, w.int8_scale});
      const at::Tensor acc = at::_int_mm(x.codes_int8, w.codes_int8.t());  // (R, N) int32
      const at::Tensor y = at::empty(acc.sizes(), x.int8_scale.options());
      kernels::scale_products(acc.data_ptr<int32_t>(), x.int8_scale.data_ptr<float>(),
                              x.int8_scale.numel() > 1, w.int8_scale.data_ptr<float>(),
                              w.int8_scale.numel() > 1,
                              bias ? bias->const_data_ptr<float>() : nullptr, acc.size(0),
                              acc.size(1), y.data_ptr<float>());
      return y;
    }
    ctx->save_for_backward({x.value, w.value});
    const at::Tensor y = product(x.value, w.value.t(), bfloat16);
    return bias ? y.add_(*bias) : y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor dy = grads[0];  // (R, N)
    const auto saved = ctx->get_saved_variables();
    const bool bfloat16 = ctx->saved_data["bfloat16"].toBool();
    at::Tensor dx, dw;
    if (ctx->saved_data["integer"].toBool()) {
      const at::Tensor &x_codes = saved[0], &x_scale = saved[1], &w_codes = saved[2],
                       &w_scale = saved[3];
      if (bfloat16) {
        std::tie(dx, dw) = bfloat16_gradients(dy.contiguous(), x_codes, x_scale, w_codes, w_scale,
                                              ctx->needs_input_grad(0), ctx->needs_input_grad(1));
      } else {
        if (ctx->needs_input_grad(0)) dx = at::mm(dy * w_scale, w_codes.to(at::kFloat));
        if (ctx->needs_input_grad(1))
          dw = at::mm((dy * x_scale.unsqueeze(1)).t(), x_codes.to(at::kFloat));
      }
    } else {
      if (ctx->needs_input_grad(0)) dx = product(dy, saved[1], bfloat16);
      if (ctx->needs_input_grad(1)) dw = product(dy.t(), saved[0], bfloat16);
    }
    at::Tensor db;
    if (ctx->saved_data["has_bias"].toBool()) db = dy.sum(0);
    return {dx, dw, db, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

Operand float_operand(const at::Tensor& tensor) {
  Operand operand;
  operand.value = tensor.detach();
  return operand;
}

// Calls a quantising function, which is pure: without recording a graph as long as no surrogate has
// come, since without one no gradient passes through the call; once more with recording when the
// first one does.
template <typename Call>
Result<lua::Quantized> call_recording(bool& surrogate_seen, Call call) {
  if (!surrogate_seen) {
    Result<lua::Quantized> returned;
    {
      at::NoGradGuard no_grad;
      returned = call();
    }
    if (!returned || !returned->surrogate.defined()) return returned;
    surrogate_seen = true;
  }
  return call();
}

// After a call of the candidate in a guarded pass: did it write down anything?
Status check_guard(const ForwardContext& context, const char* function, const BitLinear& layer) {
  if (context.guard == nullptr || context.quantizer->state_digest() == context.guard->digest)
    return {};
  return fail("rejected", fmt::format("{} (layer {}): changes a variable that later calls can read",
                                      function, layer.layer.name));
}

// activation_quant on x, in a guarded pass with its rows in the guard's order and the results put
// back.
Result<lua::Quantized> call_activation_quant(BitLinear& layer, const at::Tensor& x_RK,
                                             const ForwardContext& context) {
  const lua::Context script = script_context(layer, context);
  if (context.guard == nullptr || !context.guard->order.defined())
    return context.quantizer->activation_quant(x_RK, script);
  BITLOOP_ASSIGN(returned, context.quantizer->activation_quant(
                               x_RK.index_select(0, context.guard->order), script));
  for (at::Tensor* tensor : {&returned.codes, &returned.scale, &returned.offset})
    if (tensor->defined() && tensor->dim() == 2 && tensor->size(0) == x_RK.size(0))
      *tensor = tensor->index_select(0, context.guard->inverse);
  returned.surrogate = at::Tensor();  // of no use to a score
  return returned;
}

}  // namespace

Result<Activation> quantize_activation(BitLinear& layer, const at::Tensor& x_RK,
                                       const ForwardContext& context, bool want_integer) {
  const lua::Format* format = context.quantizer ? &context.quantizer->format() : nullptr;
  if (!layer.quantized || !format || !format->quantizes_activations)
    return Activation{float_operand(x_RK), x_RK};
  BITLOOP_ASSIGN(returned, call_recording(layer.activation_surrogate, [&] {
                   return call_activation_quant(layer, x_RK, context);
                 }));
  BITLOOP_TRY(check_guard(context, "activation_quant", layer));
  BITLOOP_ASSIGN(operand, make_activation_operand(returned, x_RK, *format, layer.layer.name));
  at::Tensor gate = operand.surrogate.defined() ? operand.surrogate : x_RK;
  if (context.lambda < 1.0) {
    // (1 - lambda) x + lambda x̂: no longer codes times a scale, so no integer form.
    materialise_value(operand, x_RK, *format);
    operand.value = x_RK.detach().lerp(operand.value, context.lambda);
    // Straight through, (1 - lambda) and lambda of the same gradient are that gradient.
    if (operand.surrogate.defined()) gate = x_RK.lerp(gate, context.lambda);
    operand.codes_int8 = at::Tensor();
  }
  if (!want_integer || !operand.codes_int8.defined()) {
    materialise_value(operand, x_RK, *format);
    operand.codes_int8 = at::Tensor();
  }
  return Activation{std::move(operand), gate};
}

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
        layer.weight, layer.params, layer.state));
    if (capture.state == Capture::kCaptured) {
      layer.weight_program = true;
      return (*capture.function)(layer.weight, layer.params, layer.state);
    }
  }
  return call_recording(layer.weight_surrogate, [&] {
    return context.quantizer->weight_quant(layer.weight, script);
  });
}

}  // namespace

Status quantize_weight(BitLinear& layer, const ForwardContext& context) {
  const bool grad = at::GradMode::is_enabled();
  const lua::Format* format = context.quantizer ? &context.quantizer->format() : nullptr;
  layer.row_bias = layer.row_bias_graph = at::Tensor();
  if (!layer.quantized || !format || !format->quantizes_weights) {
    layer.weight_operand = float_operand(layer.weight);
    layer.used_weight = layer.weight;
    return {};
  }
  const lua::Context script = script_context(layer, context);
  BITLOOP_ASSIGN(returned, call_weight_quant(layer, context));
  BITLOOP_TRY(check_guard(context, "weight_quant", layer));
  BITLOOP_ASSIGN(operand, make_weight_operand(returned, layer.weight, *format, layer.layer.name));
  if (context.quantizer->has("row_bias")) {
    BITLOOP_ASSIGN(bias, context.quantizer->row_bias(layer.weight, operand.codes, script));
    if (bias.numel() != layer.weight.size(0))
      return fail("script_error",
                  fmt::format("row_bias (layer {}): expected {} numbers, one a row, got {}",
                              layer.layer.name, layer.weight.size(0), bias.numel()));
    BITLOOP_TRY(check_guard(context, "row_bias", layer));
    if (!at::isfinite(bias.detach().to(format->scale_dtype)).all().item<bool>())
      return fail("rejected", fmt::format("row_bias (layer {}): must be finite as it is stored",
                                          layer.layer.name));
    operand.stored_numbers += bias.numel();
    layer.row_bias_graph = bias.reshape({-1}) * context.lambda;
    layer.row_bias = layer.row_bias_graph.detach().to(format->scale_dtype).to(at::kFloat);
    if (grad) layer.row_bias.requires_grad_(true);
  }
  if (context.lambda < 1.0) {
    operand.value = layer.weight.detach().lerp(operand.value, context.lambda);
    operand.codes_int8 = at::Tensor();
  }
  layer.used_weight = operand.value.detach();
  if (grad) layer.used_weight.requires_grad_(true);
  layer.weight_operand = std::move(operand);
  return {};
}

void warm_integer_products(const BitLinear& layer, int64_t rows, Products products) {
  const int64_t N = layer.layer.out_features, K = layer.layer.in_features;
  const auto zeros = [](int64_t a, int64_t b) {
    Operand operand;
    operand.codes_int8 = at::zeros({a, b}, at::kChar);
    operand.int8_scale = at::ones({1});
    return operand;
  };
  const at::Tensor x_gate = at::zeros({rows, K}).requires_grad_(true),
                   w_gate = at::zeros({N, K}).requires_grad_(true);
  const at::Tensor y =
      QuantizedProduct::apply(x_gate, w_gate, std::optional<at::Tensor>(), zeros(rows, K),
                              zeros(N, K), products == Products::kBfloat16);
  torch::autograd::backward({y}, {at::ones_like(y)});
}

Result<at::Tensor> bitlinear_forward(BitLinear& layer, const at::Tensor& x_RK,
                                     const ForwardContext& context) {
  const bool exact = context.products == Products::kExact;
  BITLOOP_ASSIGN(activation,
                 quantize_activation(layer, x_RK, context,
                                     !exact && layer.weight_operand.codes_int8.defined()));
  std::optional<at::Tensor> bias;  // autograd functions take no undefined tensors
  if (layer.bias.defined()) bias = layer.bias;
  if (layer.row_bias.defined()) bias = bias ? *bias + layer.row_bias : layer.row_bias;
  if (!activation.operand.codes_int8.defined() && layer.weight_operand.codes_int8.defined()) {
    Operand weight = layer.weight_operand;
    weight.codes_int8 = at::Tensor();
    return QuantizedProduct::apply(activation.gate, layer.used_weight, bias, activation.operand,
                                   weight, context.products == Products::kBfloat16);
  }
  return QuantizedProduct::apply(activation.gate, layer.used_weight, bias, activation.operand,
                                 layer.weight_operand, context.products == Products::kBfloat16);
}

namespace {

void add_gradient(at::Tensor tensor, const at::Tensor& gradient) {
  tensor.mutable_grad() = tensor.grad().defined() ? tensor.grad() + gradient : gradient;
}

// The share of dL/dŵ that the surrogate takes goes through its program, the rest straight to w.
void add_surrogate_gradient(BitLinear& layer, const at::Tensor& gradient, double lambda) {
  const SurrogateGradient made = layer.weight_capture.function->backward(
      layer.weight, lambda < 1.0 ? gradient * lambda : gradient, layer.params, layer.state);
  if (made.argument.defined()) add_gradient(layer.weight, made.argument);
  for (const auto& [name, part] : made.params) add_gradient(layer.params.at(name), part);
  if (lambda < 1.0) add_gradient(layer.weight, gradient * (1.0 - lambda));
}

}  // namespace

void finish_weight_gradient(BitLinear& layer, const ForwardContext& context) {
  if (layer.used_weight.is_same(layer.weight)) return;  // float layer: gathered in place
  const at::Tensor gradient = layer.used_weight.grad();
  if (!gradient.defined()) return;
  const at::Tensor surrogate = layer.weight_operand.surrogate;
  if (layer.weight_program && layer.weight_capture.function->has_surrogate()) {
    add_surrogate_gradient(layer, gradient, context.lambda);
  } else if (surrogate.defined() && surrogate.requires_grad()) {
    torch::autograd::backward({surrogate},
                              {context.lambda < 1.0 ? gradient * context.lambda : gradient});
    if (context.lambda < 1.0) {
      const at::Tensor direct = gradient * (1.0 - context.lambda);
      layer.weight.mutable_grad() =
          layer.weight.grad().defined() ? layer.weight.grad() + direct : direct;
    }
  } else {
    layer.weight.mutable_grad() =
        layer.weight.grad().defined() ? layer.weight.grad() + gradient : gradient;
  }
  if (layer.row_bias.defined() && layer.row_bias.grad().defined() &&
      layer.row_bias_graph.requires_grad())
    torch::autograd::backward({layer.row_bias_graph}, {layer.row_bias.grad()});
}

}  // namespace bitloop::trainer
