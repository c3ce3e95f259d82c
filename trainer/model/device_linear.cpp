#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "lua/capture/lower.h"
#include "trainer/model/candidate.h"
#include "trainer/model/device_parts.h"
#include "trainer/model/quantize.h"

namespace bitloop::trainer {
namespace {

// activation_quant as a program on single rows, from its call on so many rows of made-up numbers.
Result<CapturedFunction> captured_on(int64_t rows, int64_t K, const QuantizingFunction& function,
                                     const BitLinear& layer, const NamedTensorMap& params,
                                     const NamedTensorMap& state) {
  at::Generator random = at::detail::createCPUGenerator(static_cast<uint64_t>(rows));
  const at::Tensor x_RK = at::empty({rows, K}, at::kFloat).normal_(0.0, 1.0, random);
  Capture capture;
  const auto refuse = [&](const std::string& why) {
    return fail("not_captured",
                fmt::format("activation_quant (layer {}): {}", layer.layer.name, why));
  };
  // What fails here, on another device and on made-up numbers, is not the candidate's verdict.
  if (const Status tried = try_capture(capture, function, x_RK, params, state); !tried)
    return refuse(tried.error().message);
  if (capture.state != Capture::kCaptured) return refuse(capture.reason);
  if (!capture.function->streams()) return refuse("looks beyond single rows");
  if (capture.function->has_surrogate()) return refuse("has a surrogate");
  return std::move(*capture.function);
}

}  // namespace

DeviceTraining::Linear::Linear(const DeviceTraining& all, BitLinear& bit_linear)
    : layer(&bit_linear),
      N(bit_linear.layer.out_features),
      K(bit_linear.layer.in_features),
      weight(all.empty({N, K}, at::kBFloat16)),
      value(all.empty({all.R_, K}, at::kBFloat16)),
      all_(&all) {
  if (!bit_linear.weight.is_same(all.model_->wte_) || bit_linear.quantized)
    own_gradient_ = all.empty({N, K}, at::kFloat);
  if (bit_linear.bias.defined()) dbias = all.empty({N}, at::kFloat);
}

Status DeviceTraining::Linear::capture(lua::Quantizer& on_cpu, const ForwardContext& context,
                                       kernels::DeviceKernels& device) {
  const lua::Format& format = on_cpu.format();
  if (!layer->quantized || !format.quantizes_activations) return {};
  const NamedTensorMap params = on_cpu_of(layer->params), state = on_cpu_of(layer->state);
  const QuantizingFunction function = [&](const at::Tensor& x, lua::Recording* recording) {
    return on_cpu.activation_quant(x, script_context(*layer, context, params, state), recording);
  };
  // Twice: a number that comes from how many rows there are would be another.
  BITLOOP_ASSIGN(made, captured_on(64, K, function, *layer, params, state));
  BITLOOP_ASSIGN(again, captured_on(96, K, function, *layer, params, state));
  const lua::LoweredProgram& lowered = made.forward();
  const char* in_the_way = nullptr;
  if (lowered.program != again.forward().program)
    in_the_way = "depends on how many rows there are";
  else if (!lowered.row.empty())
    in_the_way = "reads a number for each row";
  else if (made.graph().columns != K)
    in_the_way = "works on groups";
  else if (std::ssize(lowered.scalars) > kernels::kMostInputs)
    in_the_way = "reads too many numbers";
  if (in_the_way != nullptr)
    return fail("not_captured",
                fmt::format("activation_quant (layer {}): {}", layer->layer.name, in_the_way));
  graph = std::make_shared<lua::Graph>(made.graph());
  column_inputs = lowered.column, scalar_inputs = lowered.scalars;
  const int high = (1 << (format.activation_bits - 1)) - 1;
  std::string why;
  rows = device.compile({.program = lowered.program,
                         .K = K,
                         .low = static_cast<float>(-high - 1),
                         .high = static_cast<float>(high),
                         .half_scale = format.scale_dtype == at::kHalf},
                        why);
  if (rows == nullptr)
    return fail("not_captured",
                fmt::format("activation_quant (layer {}): {}", layer->layer.name, why));
  return {};
}

Status DeviceTraining::Linear::take_weights(const ForwardContext& context,
                                            kernels::DeviceKernels& device, bool wants_integer) {
  // A head that is the embedding itself shares its gradient, also where the task would have it
  // quantised and the candidate leaves weights float.
  gradient = layer->used_weight.is_same(all_->model_->wte_) ? all_->dwte_ : own_gradient_;
  const Operand& operand = layer->weight_operand;
  const bool codes_there = operand.codes_int8.defined() && operand.int8_scale.numel() == 1;
  if (codes_there) {
    weight_codes = operand.codes_int8.contiguous();
    alpha = operand.int8_scale.contiguous();
    device.widen(weight_codes.const_data_ptr<int8_t>(), N * K, bits(weight));
  } else {
    Operand whole = operand;
    if (!whole.value.defined())
      materialise_value(whole, layer->latent, context.quantizer->format());
    const at::Tensor numbers = whole.value.detach().contiguous();
    alpha = weight_codes = at::Tensor();
    device.round(numbers.const_data_ptr<float>(), N * K, bits(weight));
    value_used_ = numbers;
  }
  integer = wants_integer && codes_there && rows != nullptr && layer != &all_->model_->head_ &&
            device.multiplies_integers(all_->R_, N, K);
  bias = at::Tensor();
  if (layer->bias.defined()) bias = layer->bias.detach();
  if (layer->row_bias.defined())
    bias = bias.defined() ? bias + layer->row_bias.detach() : layer->row_bias.detach();
  if (bias.defined()) {
    bias = bias.to(at::kBFloat16);
    if (!dbias.defined()) dbias = all_->empty({N}, at::kFloat);
    dbias.zero_();
  }
  if (rows != nullptr) inputs = BoundInputs(*graph, column_inputs, scalar_inputs, *layer);
  return {};
}

void DeviceTraining::Linear::attach_gradients() const {
  // A float layer's used weight is the weight itself.
  layer->used_weight.mutable_grad() = gradient;
  if (layer->bias.defined()) layer->bias.mutable_grad() = dbias;
  if (layer->row_bias.defined() && layer->row_bias.requires_grad())
    layer->row_bias.mutable_grad() = dbias;
}

}  // namespace bitloop::trainer
