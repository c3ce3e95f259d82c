#include "trainer/model/activation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "trainer/kernels/codes.h"
#include "trainer/kernels/packing.h"
#include "trainer/kernels/team.h"
#include "trainer/model/candidate.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kGrain = 32;     // rows a thread takes at least
constexpr int64_t kRoundRows = 8;  // rows that are made before they are rounded

uint16_t* bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<uint16_t*>(bfloat16.data_ptr<at::BFloat16>());
}

void make_bfloat16(PackedActivation& packed, int64_t rows, int64_t K) {
  packed.integer = false;
  if (!packed.bfloat16.defined() || packed.bfloat16.numel() != rows * K)
    packed.bfloat16 = at::empty({rows, K}, at::kBFloat16);
}

void round_part(const RowProducer& produce, int64_t begin, int64_t end, int64_t K, uint16_t* out) {
  std::vector<float> made(static_cast<size_t>(kRoundRows * K));
  for (int64_t r = begin; r < end; r += kRoundRows) {
    const int64_t count = std::min(kRoundRows, end - r);
    produce(r, count, made.data());
    kernels::round_to_bfloat16(made.data(), count * K, out + r * K);
  }
}

void round_rows(const RowProducer& produce, int64_t rows, int64_t K, PackedActivation& packed) {
  make_bfloat16(packed, rows, K);
  uint16_t* out = bits(packed.bfloat16);
  kernels::run_parts(rows, kGrain,
                     [&](int64_t begin, int64_t end) { round_part(produce, begin, end, K, out); });
}

bool stays_float(const BitLinear& layer, const ForwardContext& context) {
  return !layer.quantized || context.quantizer == nullptr ||
         !context.quantizer->format().quantizes_activations;
}

bool may_use_program(const ForwardContext& context) {
  return context.captured && context.lambda == 1.0;
}

QuantizingFunction activation_function(BitLinear& layer, const ForwardContext& context) {
  return [&layer, &context](const at::Tensor& x, lua::Recording* recording) {
    return context.quantizer->activation_quant(x, activation_context(layer, context), recording);
  };
}

// Whether codes can go from the rows to what products read in one walk, the activation never in
// memory: int8, or where the weights have no integer form, values.
bool streams(const BitLinear& layer, int64_t rows, const ForwardContext& context) {
  const Capture& capture = layer.activation_capture;
  return may_use_program(context) && capture.state == Capture::kCaptured &&
         capture.shape == std::vector<int64_t>{rows, layer.layer.in_features} &&
         context.quantizer->format().activation_bits <= 8 && capture.function->streams();
}

// Makes room for the codes or values and, where that is one number for all rows, the scale. False
// where the scale is not allowed.
bool begin_stream(BitLinear& layer, int64_t rows, const ForwardContext& context,
                  PackedActivation& packed, ActivationGradient& gradient) {
  const int64_t K = layer.layer.in_features;
  const CapturedFunction& function = *layer.activation_capture.function;
  packed.integer = layer.weight_operand.codes_int8.defined();
  if (!packed.integer)
    make_bfloat16(packed, rows, K);
  else if (!packed.int8.defined() || packed.int8.numel() != rows * K)
    packed.int8 = at::empty({rows, K}, at::kChar);
  packed.scale = at::empty({function.scales_rows() ? rows : 1}, at::kFloat);
  if (!function.scales_rows()) {
    // No row takes part in it, so any row will do.
    const auto scale = stored_activation_scale(
        function.stream(
            1, K, [K](int64_t, int64_t count, float* out) { std::fill_n(out, count * K, 0.0f); },
            [](int64_t, int64_t, const float*, const float*) {}, layer.params, layer.state),
        context.quantizer->format(), layer.layer.name);
    if (!scale) return false;
    packed.scale.copy_(*scale);
  }
  // Only a surrogate's gradient wants the activation itself later.
  gradient = {};
  if (function.has_surrogate()) gradient = {at::empty({rows, K}, at::kFloat), {}, &layer};
  return true;
}

// Runs the program on rows [begin, end) as they are produced. False where a code or a scale is not
// allowed: the function itself then says which.
bool stream_codes(BitLinear& layer, const RowProducer& produce, int64_t begin, int64_t end,
                  const ForwardContext& context, PackedActivation& packed,
                  const ActivationGradient& gradient) {
  const int64_t K = layer.layer.in_features;
  const CapturedFunction& function = *layer.activation_capture.function;
  float* kept = gradient.input.defined() ? gradient.input.data_ptr<float>() : nullptr;
  const lua::Format& format = context.quantizer->format();
  const int high = (1 << (format.activation_bits - 1)) - 1;
  const bool whole =
      function.makes_whole_codes(static_cast<float>(-high - 1), static_cast<float>(high));
  const auto take = [&](const float* numbers, int64_t n, int8_t* to) {
    return whole ? kernels::convert_int8_run(numbers, n, to)
                 : kernels::pack_int8_run(numbers, n, 1.0f, -high - 1, high, to);
  };
  std::atomic<bool> good = true;
  const auto sink = [&](int64_t from, int64_t count, const float* numbers, const float* scales) {
    const int64_t at = (begin + from) * K, n = count * K;
    if (packed.integer) {
      if (!take(numbers, n, packed.int8.data_ptr<int8_t>() + at)) good = false;
      return;
    }
    thread_local std::vector<int8_t> codes;
    thread_local std::vector<float> stored;
    codes.resize(static_cast<size_t>(n));
    const float* scale = packed.scale.const_data_ptr<float>();
    if (scales != nullptr) {
      stored.resize(static_cast<size_t>(count));
      if (!kernels::round_stored(scales, count, format.scale_dtype == at::kHalf, stored.data()))
        good = false;
      scale = stored.data();
    }
    if (!take(numbers, n, codes.data())) good = false;
    kernels::codes_to_values_run(codes.data(), scale, scales != nullptr ? 1 : 0, count, K,
                                 bits(packed.bfloat16) + at);
  };
  const at::Tensor scale = function.stream(
      end - begin, K,
      [&](int64_t from, int64_t count, float* out) {
        const int64_t first = begin + from;
        produce(first, count, out);
        if (kept != nullptr) std::copy_n(out, count * K, kept + first * K);
      },
      sink, layer.params, layer.state);
  if (!good || !packed.integer) return good;
  const auto stored = stored_activation_scale(scale, format, layer.layer.name);
  if (!stored) return false;
  // One scale for all is there already: another part may be reading it.
  if (function.scales_rows())
    std::copy_n(stored->const_data_ptr<float>(), stored->numel(),
                packed.scale.data_ptr<float>() + begin);
  return true;
}

// What products read of an operand.
void pack(Operand& operand, const at::Tensor& x_RK, bool want_integer, const lua::Format& format,
          PackedActivation& packed) {
  if (want_integer && operand.codes_int8.defined()) {
    packed.integer = true;
    packed.int8 = operand.codes_int8;
    packed.scale = operand.int8_scale;
    return;
  }
  materialise_value(operand, x_RK, format);
  const int64_t K = x_RK.size(1);
  const float* value = operand.value.const_data_ptr<float>();
  round_rows([=](int64_t first, int64_t count,
                 float* out) { std::copy_n(value + first * K, count * K, out); },
             x_RK.size(0), K, packed);
}

}  // namespace

void ActivationGradient::pass(const at::Tensor& gradient_RK) const {
  if (identity()) return;
  if (layer != nullptr) {
    const SurrogateGradient made = layer->activation_capture.function->backward(
        input, gradient_RK, layer->params, layer->state, /*in_place=*/true);
    for (const auto& [name, part] : made.params) {
      at::Tensor parameter = layer->params.at(name);
      parameter.mutable_grad() = parameter.grad().defined() ? parameter.grad() + part : part;
    }
    if (!made.argument.defined())
      gradient_RK.zero_();
    else if (!made.argument.is_same(gradient_RK))
      gradient_RK.copy_(made.argument);
    return;
  }
  torch::autograd::backward({gate}, {gradient_RK});
  gradient_RK.copy_(input.grad());
}

bool begin_activation_rows(BitLinear& layer, int64_t rows, const ForwardContext& context,
                           PackedActivation& packed, ActivationGradient& gradient) {
  gradient = {};
  if (stays_float(layer, context)) {
    make_bfloat16(packed, rows, layer.layer.in_features);
    return true;
  }
  // A number for each row of the whole would be read at the wrong place in a part.
  if (!streams(layer, rows, context) || !layer.activation_capture.function->forward().row.empty())
    return false;
  return begin_stream(layer, rows, context, packed, gradient);
}

bool take_activation_rows(BitLinear& layer, const RowProducer& produce, int64_t begin, int64_t end,
                          const ForwardContext& context, PackedActivation& packed,
                          const ActivationGradient& gradient) {
  if (!stays_float(layer, context))
    return stream_codes(layer, produce, begin, end, context, packed, gradient);
  round_part(produce, begin, end, layer.layer.in_features, bits(packed.bfloat16));
  return true;
}

Status quantize_activation_rows(BitLinear& layer, const RowProducer& produce, int64_t rows,
                                const ForwardContext& context, PackedActivation& packed,
                                ActivationGradient& gradient) {
  const int64_t K = layer.layer.in_features;
  gradient = {};
  if (stays_float(layer, context)) {
    round_rows(produce, rows, K, packed);
    return {};
  }
  if (streams(layer, rows, context)) {
    if (begin_stream(layer, rows, context, packed, gradient) &&
        stream_codes(layer, produce, 0, rows, context, packed, gradient))
      return {};
    gradient = {};
  }
  Capture& capture = layer.activation_capture;
  const bool want_integer = layer.weight_operand.codes_int8.defined();
  const at::Tensor x_RK = at::empty({rows, K}, at::kFloat);
  float* x = x_RK.data_ptr<float>();
  kernels::run_parts(rows, kGrain, [&](int64_t begin, int64_t end) {
    produce(begin, end - begin, x + begin * K);
  });
  if (may_use_program(context)) {
    BITLOOP_TRY(capture_once(capture, activation_function(layer, context), x_RK, layer.params,
                             layer.state));
    if (capture.state == Capture::kCaptured) {
      BITLOOP_ASSIGN(operand,
                     make_activation_operand((*capture.function)(x_RK, layer.params, layer.state),
                                             x_RK, context.quantizer->format(), layer.layer.name));
      if (capture.function->has_surrogate()) gradient = {x_RK, {}, &layer};
      pack(operand, x_RK, want_integer, context.quantizer->format(), packed);
      return {};
    }
  }
  x_RK.requires_grad_(true);
  BITLOOP_ASSIGN(activation, quantize_activation(layer, x_RK, context, want_integer));
  if (!activation.gate.is_same(x_RK)) gradient = {x_RK, activation.gate, nullptr};
  pack(activation.operand, x_RK, want_integer, context.quantizer->format(), packed);
  return {};
}

}  // namespace bitloop::trainer
