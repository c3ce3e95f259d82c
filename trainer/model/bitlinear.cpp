#include "trainer/model/bitlinear.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "lua/tensor/hadamard.h"
#include "trainer/kernels/spans.h"
#include "trainer/model/candidate.h"
#include "trainer/model/code_tensors.h"
#include "trainer/model/layer_observer.h"

namespace bitloop::trainer {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Matrix product in the arithmetic asked for; float32 in and out.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, bool bfloat16) {
  if (!bfloat16) return at::mm(a, b);
  return at::mm(a.to(at::kBFloat16), b.to(at::kBFloat16)).to(at::kFloat);
}

// dL/dx̂ (R, K) and dL/dŵ (N, K) of the integer form, products in bfloat16; undefined where not
// wanted. dy (R, N) carries the scales into the products, so one pass over it makes both factors.
std::pair<at::Tensor, at::Tensor> bfloat16_gradients(
    const at::Tensor& dy, const at::Tensor& x_codes, const at::Tensor& x_scale,
    const at::Tensor& w_codes, const at::Tensor& w_scale, bool want_dx, bool want_dw) {
  const auto [for_dx, for_dw] = codes::scale_to_bfloat16(dy, x_scale, w_scale, want_dx, want_dw);
  at::Tensor dx, dw;
  if (want_dx) dx = at::mm(for_dx, codes::to_bfloat16(w_codes)).to(at::kFloat);
  if (want_dw) dw = at::mm(for_dw.t(), codes::to_bfloat16(x_codes)).to(at::kFloat);
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
      return codes::scale_products(codes::multiply(x.codes_int8, w.codes_int8), x.int8_scale,
                                   w.int8_scale, bias);
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

}  // namespace

Result<Activation> quantize_activation(BitLinear& layer, const at::Tensor& x_RK,
                                       const ForwardContext& context, bool want_integer) {
  const kernels::Span span("forward input", layer.layer.kind.c_str());
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

void warm_integer_forward(const BitLinear& layer, int64_t rows) {
  const int64_t N = layer.layer.out_features, K = layer.layer.in_features;
  const at::TensorOptions int8 = layer.weight.options().dtype(at::kChar);
  (void)codes::multiply(at::zeros({rows, K}, int8), at::zeros({N, K}, int8));
}

void warm_integer_products(const BitLinear& layer, int64_t rows, Products products) {
  const int64_t N = layer.layer.out_features, K = layer.layer.in_features;
  const at::TensorOptions options = layer.weight.options();
  const auto zeros = [&](int64_t a, int64_t b) {
    Operand operand;
    operand.codes_int8 = at::zeros({a, b}, options.dtype(at::kChar));
    operand.int8_scale = at::ones({1}, options);
    return operand;
  };
  const at::Tensor x_gate = at::zeros({rows, K}, options).requires_grad_(true),
                   w_gate = at::zeros({N, K}, options).requires_grad_(true);
  const at::Tensor y =
      QuantizedProduct::apply(x_gate, w_gate, std::optional<at::Tensor>(), zeros(rows, K),
                              zeros(N, K), products == Products::kBfloat16);
  torch::autograd::backward({y}, {at::ones_like(y)});
}

namespace {

// The product of the two sides, integer where both are.
at::Tensor multiply(const BitLinear& layer, const Activation& activation,
                    const std::optional<at::Tensor>& bias, const ForwardContext& context) {
  if (layer.product && !at::GradMode::is_enabled())
    return layer.product->multiply(activation.operand, bias);
  if (context.packed && layer.packed && !at::GradMode::is_enabled())
    return layer.packed->multiply(activation.operand.value, bias);
  const bool bfloat16 = context.products == Products::kBfloat16;
  if (!activation.operand.codes_int8.defined() && layer.weight_operand.codes_int8.defined()) {
    Operand weight = layer.weight_operand;
    materialise_value(weight, layer.latent, context.quantizer->format());
    weight.codes_int8 = at::Tensor();
    return QuantizedProduct::apply(activation.gate, layer.used_weight, bias, activation.operand,
                                   weight, bfloat16);
  }
  return QuantizedProduct::apply(activation.gate, layer.used_weight, bias, activation.operand,
                                 layer.weight_operand, bfloat16);
}

// blend = "output": y_float + lambda (y_quantised - y_float), with the gradient of the float path.
// A score is made at lambda 1 and without gradients, where that is y_quantised.
at::Tensor blend_outputs(const BitLinear& layer, const at::Tensor& x_RK,
                         const Activation& activation, const ForwardContext& context) {
  at::Tensor quantised;
  {
    at::NoGradGuard no_grad;
    quantised = multiply(layer, activation, std::nullopt, context);
  }
  if (!at::GradMode::is_enabled() && context.lambda == 1.0) return quantised;
  const at::Tensor y =
      QuantizedProduct::apply(x_RK, layer.used_weight, std::nullopt, float_operand(x_RK),
                              float_operand(layer.latent), context.products == Products::kBfloat16);
  return y + (quantised - y.detach()) * context.lambda;
}

}  // namespace

Result<at::Tensor> bitlinear_forward(BitLinear& layer, const at::Tensor& given_RK,
                                     const ForwardContext& context) {
  const kernels::Span span("forward", layer.layer.kind.c_str());
  const lua::Format* format =
      layer.quantized && context.quantizer ? &context.quantizer->format() : nullptr;
  BITLOOP_ASSIGN(x_RK, call_input(layer, given_RK, context));
  if (format != nullptr && format->hadamard_block > 0)
    x_RK = lua::block_hadamard(x_RK, format->hadamard_block);
  const bool blends = format != nullptr && format->blend_output;
  const bool want_integer = layer.product ? layer.product->takes_integers()
                                          : context.products != Products::kExact &&
                                                layer.weight_operand.codes_int8.defined();
  ForwardContext whole = context;  // outputs are blended below, not their inputs
  if (blends) whole.lambda = 1.0;
  BITLOOP_ASSIGN(activation, quantize_activation(layer, x_RK, whole, want_integer));
  std::optional<at::Tensor> bias;  // autograd functions take no undefined tensors
  if (layer.bias.defined()) bias = layer.bias;
  if (layer.row_bias.defined()) bias = bias ? *bias + layer.row_bias : layer.row_bias;
  at::Tensor y;
  if (blends) {
    y = blend_outputs(layer, x_RK, activation, context);
    if (bias) y = y + *bias;
  } else {
    y = multiply(layer, activation, bias, context);
  }
  if (layer_observer != nullptr) layer_observer->see(layer, y);
  return y;
}

}  // namespace bitloop::trainer
