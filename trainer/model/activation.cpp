#include "trainer/model/activation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "trainer/kernels/packing.h"
#include "trainer/kernels/team.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kGrain = 32;  // rows a thread takes at least

uint16_t* bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<uint16_t*>(bfloat16.data_ptr<at::BFloat16>());
}

void make_bfloat16(PackedActivation& packed, int64_t rows, int64_t K) {
  packed.integer = false;
  if (!packed.bfloat16.defined() || packed.bfloat16.numel() != rows * K)
    packed.bfloat16 = at::empty({rows, K}, at::kBFloat16);
}

void round_rows(const RowProducer& produce, int64_t rows, int64_t K, PackedActivation& packed) {
  make_bfloat16(packed, rows, K);
  uint16_t* out = bits(packed.bfloat16);
  kernels::run_parts(rows, kGrain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(K));
    for (int64_t r = begin; r < end; ++r) {
      produce(r, row.data());
      kernels::round_to_bfloat16(row.data(), K, out + r * K);
    }
  });
}

}  // namespace

at::Tensor ActivationGradient::pass(const at::Tensor& gradient_RK) const {
  if (identity()) return gradient_RK;
  torch::autograd::backward({gate}, {gradient_RK});
  return input.grad().contiguous();
}

Status quantize_activation_rows(BitLinear& layer, const RowProducer& produce, int64_t rows,
                                const ForwardContext& context, PackedActivation& packed,
                                ActivationGradient& gradient) {
  const int64_t K = layer.layer.in_features;
  gradient = {};
  if (!layer.quantized || context.quantizer == nullptr ||
      !context.quantizer->format().quantizes_activations) {
    round_rows(produce, rows, K, packed);
    return {};
  }
  // Operation by operation on the whole tensor. A captured function takes the rows from `produce`
  // instead and writes codes and scales itself.
  const at::Tensor x_RK = at::empty({rows, K}, at::kFloat);
  float* x = x_RK.data_ptr<float>();
  kernels::run_parts(rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) produce(r, x + r * K);
  });
  x_RK.requires_grad_(true);
  BITLOOP_ASSIGN(activation,
                 quantize_activation(layer, x_RK, context,
                                     /*want_integer=*/layer.weight_operand.codes_int8.defined()));
  if (!activation.gate.is_same(x_RK)) gradient = {x_RK, activation.gate};
  const Operand& operand = activation.operand;
  if (operand.codes_int8.defined()) {
    packed.integer = true;
    packed.int8 = operand.codes_int8;
    packed.scale = operand.int8_scale;
    return {};
  }
  const float* value = operand.value.const_data_ptr<float>();
  round_rows([=](int64_t r, float* out) { std::copy_n(value + r * K, K, out); }, rows, K, packed);
  return {};
}

}  // namespace bitloop::trainer
