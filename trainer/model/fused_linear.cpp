#include "trainer/model/fused_linear.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/kernels/hadamard.h"
#include "trainer/kernels/spans.h"
#include "trainer/kernels/team.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kGrain = 16;

uint16_t* mutable_bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<uint16_t*>(bfloat16.data_ptr<at::BFloat16>());
}

const uint16_t* bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<const uint16_t*>(bfloat16.const_data_ptr<at::BFloat16>());
}

}  // namespace

LinearScratch::LinearScratch(int64_t widest_N, int64_t widest_K)
    : dy(kProduceRows * widest_N),
      dx(kChunk * widest_K),
      dy_columns(kChunk * widest_N),
      dy_codes(kChunk * widest_N),
      dy_scale(kChunk),
      dx_acc(kChunk * widest_K),
      dy_transposed(widest_N * kChunk / 2),
      x_pairs(kChunk / 2 * widest_K),
      shifted(kForwardRows * widest_K),
      acc(kForwardRows * widest_N),
      float_acc(kForwardRows * widest_N) {}

float* Gradient::attach(const at::Tensor& parameter, bool* fresh) {
  if (fresh != nullptr) *fresh = false;
  if (parameter.grad().defined()) return parameter.grad().data_ptr<float>();
  if (!memory_.defined()) memory_ = at::empty(parameter.sizes(), at::kFloat);
  parameter.mutable_grad() = memory_;
  if (fresh != nullptr) {
    *fresh = true;
  } else {
    std::fill_n(memory_.data_ptr<float>(), memory_.numel(), 0.0f);
  }
  return memory_.data_ptr<float>();
}

FusedLinear::FusedLinear(BitLinear& layer, int64_t rows, int64_t grain, int64_t threads,
                         bool int8_gradient)
    : layer_(&layer),
      rows_(rows),
      grain_(grain),
      threads_(threads),
      N_(layer.layer.out_features),
      K_(layer.layer.in_features),
      int8_gradient_(int8_gradient && layer.layer.out_features % 4 == 0),
      w_forward_(K_ / 2 * N_),
      w_backward_(N_ / 2 * K_),
      w_rounded_(N_ * K_),
      shift_(N_),
      shift_back_(K_),
      w_scale_(N_),
      bias_(N_),
      bias_parts_(threads * N_) {
  for (int64_t t = 1; t < threads; ++t) dw_parts_.emplace_back(N_ * K_);
}

const lua::Format* FusedLinear::format_of(const ForwardContext& context) const {
  return layer_->quantized && context.quantizer != nullptr ? &context.quantizer->format() : nullptr;
}

// Nobody writes to a kept tensor, and while it is held here no other takes its address.
void FusedLinear::begin_step() {
  const Operand& operand = layer_->weight_operand;
  if (packed_of_.defined() &&
      packed_of_.is_same(packed_as_ == Form::kInteger ? operand.codes_int8 : operand.value))
    return;
  packed_as_ = Form::kNone;
}

bool FusedLinear::begin_rows(const ForwardContext& context) {
  const lua::Format* format = format_of(context);
  hadamard_block_ = 0;
  blends_ = false;
  if (format != nullptr && (format->hadamard_block > 0 || format->blend_output)) return false;
  if (!begin_activation_rows(*layer_, rows_, context, packed_, activation_gradient_)) return false;
  if (format != nullptr && !packed_.integer)
    materialise_value(layer_->weight_operand, layer_->latent, *format);
  return true;
}

bool FusedLinear::take_rows(const RowProducer& produce, int64_t begin, int64_t end,
                            const ForwardContext& context) {
  return take_activation_rows(*layer_, produce, begin, end, context, packed_, activation_gradient_);
}

Status FusedLinear::take_input(const RowProducer& given, const ForwardContext& context) {
  const lua::Format* format = format_of(context);
  hadamard_block_ = format != nullptr ? format->hadamard_block : 0;
  blends_ = format != nullptr && format->blend_output;
  lambda_ = context.lambda;
  if (blends_ && !float_x_.defined()) {
    float_x_ = at::empty({rows_, K_}, at::kBFloat16);
    w_float_forward_ = Buffer<uint32_t>(K_ / 2 * N_);
    no_bias_ = Buffer<float>(N_);
    std::fill_n(no_bias_.get(), N_, 0.0f);
  }
  const auto produce = [&](int64_t first, int64_t count, float* out) {
    given(first, count, out);
    const int64_t n = count * K_;
    if (hadamard_block_ > 0) kernels::block_hadamard(out, n, hadamard_block_, out);
    if (blends_) kernels::round_to_bfloat16(out, n, mutable_bits(float_x_) + first * K_);
  };
  ForwardContext whole = context;  // outputs are blended, not their inputs
  if (blends_) whole.lambda = 1.0;
  BITLOOP_TRY(
      quantize_activation_rows(*layer_, produce, rows_, whole, packed_, activation_gradient_));
  pack_weights(context);
  if (blends_) activation_gradient_ = {};
  return {};
}

void FusedLinear::take_zeros(bool integer) {
  packed_.integer = integer;
  packed_as_ = Form::kNone;
  packed_of_ = at::Tensor();
  hadamard_block_ = 0;
  blends_ = false;
  if (integer) {
    packed_.int8 = at::zeros({rows_, K_}, at::kChar);
    packed_.scale = at::ones({rows_}, at::kFloat);
  } else {
    packed_.bfloat16 = at::zeros({rows_, K_}, at::kBFloat16);
  }
  activation_gradient_ = {};
  std::fill_n(w_forward_.get(), K_ / 2 * N_, 0u);
  std::fill_n(w_backward_.get(), N_ / 2 * K_, 0u);
  std::fill_n(shift_.get(), N_, 0);
  std::fill_n(shift_back_.get(), K_, 0);
  std::fill_n(w_scale_.get(), N_, 0.0f);
  std::fill_n(bias_.get(), N_, 0.0f);
}

void FusedLinear::pack_float(const at::Tensor& w_NK, uint32_t* forward, uint32_t* backward) {
  kernels::round_to_bfloat16(w_NK.contiguous().const_data_ptr<float>(), N_ * K_, w_rounded_.get());
  kernels::transpose_words(w_rounded_.get(), N_, K_ / 2, K_ / 2, forward, N_);
  if (backward != nullptr) kernels::interleave_bfloat16(w_rounded_.get(), N_, K_, K_, backward);
}

void FusedLinear::pack_codes(uint32_t* backward) {
  const Operand& operand = layer_->weight_operand;
  const int8_t* codes = operand.codes_int8.const_data_ptr<int8_t>();
  kernels::transpose_words(codes, N_, K_ / 4, K_ / 4, w_forward_.get(), N_);
  kernels::shifted_sums(codes, N_, K_, shift_.get());
  if (int8_backward()) {
    kernels::interleave_bytes(codes, N_, K_, backward);
    kernels::shifted_column_sums(codes, N_, K_, shift_back_.get());
  } else if (backward != nullptr) {
    kernels::interleave_codes(codes, N_, K_, backward);
  }
  const float* scale = operand.int8_scale.const_data_ptr<float>();
  const int64_t stride = operand.int8_scale.numel() > 1 ? 1 : 0;
  for (int64_t n = 0; n < N_; ++n) w_scale_.get()[n] = scale[n * stride];
}

void FusedLinear::pack_weights(const ForwardContext& context) {
  std::fill_n(bias_.get(), N_, 0.0f);
  for (const at::Tensor& bias : {layer_->bias, layer_->row_bias})
    if (bias.defined()) kernels::add_rows(bias.const_data_ptr<float>(), 1, N_, bias_.get());
  const Form form = packed_.integer ? Form::kInteger : Form::kBfloat16;
  if (packed_as_ == form) return;
  packed_as_ = form;
  uint32_t* backward = blends_ ? nullptr : w_backward_.get();  // else the float side's
  if (packed_.integer) {
    pack_codes(backward);
  } else {
    // Made by now, unless the weights are integers and this activation has none.
    if (const lua::Format* format = format_of(context))
      materialise_value(layer_->weight_operand, layer_->latent, *format);
    pack_float(layer_->weight_operand.value, w_forward_.get(), backward);
  }
  if (blends_) pack_float(layer_->latent.detach(), w_float_forward_.get(), w_backward_.get());
  const auto read = packed_.integer ? &Operand::codes_int8 : &Operand::value;
  const at::Tensor &packed = layer_->weight_operand.*read, &kept = layer_->kept.*read;
  packed_of_ = !blends_ && kept.defined() && packed.is_same(kept) ? packed : at::Tensor();
}

void FusedLinear::multiply_quantised(int64_t begin, int64_t rows, void* acc,
                                     LinearScratch& scratch) const {
  if (packed_.integer) {
    kernels::shift_codes(packed_.int8.const_data_ptr<int8_t>() + begin * K_, rows * K_,
                         scratch.shifted.get());
    multiply_int8(rows, N_, K_, scratch.shifted.get(), K_, w_forward_.get(),
                  static_cast<int32_t*>(acc), N_);
  } else {
    multiply_bfloat16(rows, N_, K_, bits(packed_.bfloat16) + begin * K_, K_, w_forward_.get(), N_,
                      static_cast<float*>(acc), N_, false);
  }
}

void FusedLinear::blend(int64_t begin, int64_t rows, void* acc, LinearScratch& scratch) const {
  auto* y = static_cast<float*>(acc);
  kernels::Product quantised = quantised_product(acc, begin);
  quantised.bias = no_bias_.get();
  kernels::finish_product(quantised, rows, nullptr, y);
  if (lambda_ == 1.0) return;
  multiply_bfloat16(rows, N_, K_, bits(float_x_) + begin * K_, K_, w_float_forward_.get(), N_,
                    scratch.float_acc.get(), N_, false);
  kernels::mix(scratch.float_acc.get(), static_cast<float>(lambda_), rows * N_, y);
}

void FusedLinear::multiply(int64_t begin, int64_t end, void* acc, LinearScratch& scratch) const {
  for (int64_t r = begin; r < end; r += kForwardRows) {
    const int64_t rows = std::min(kForwardRows, end - r);
    void* to = static_cast<char*>(acc) + (r - begin) * N_ * 4;
    multiply_quantised(r, rows, to, scratch);
    if (blends_) blend(r, rows, to, scratch);
  }
}

kernels::Product FusedLinear::row(int64_t r, LinearScratch& scratch) const {
  const auto [begin, end] = scratch.rows;
  const int64_t first = begin + (r - begin) / kForwardRows * kForwardRows;
  if (scratch.block != first) {
    const kernels::Span span("forward", kind());
    multiply(first, std::min(end, first + kForwardRows), scratch.acc.get(), scratch);
    scratch.block = first;
    scratch.product = product(scratch.acc.get(), first);
  }
  return scratch.product.from_row(r - first);
}

kernels::Product FusedLinear::product(const void* acc, int64_t first) const {
  if (blends_) return {.acc = acc, .N = N_, .bias = bias_.get()};
  return quantised_product(acc, first);
}

kernels::Product FusedLinear::quantised_product(const void* acc, int64_t first) const {
  kernels::Product product{.acc = acc, .integer = packed_.integer, .N = N_, .bias = bias_.get()};
  if (packed_.integer) {
    product.shift = shift_.get();
    product.w_scale = w_scale_.get();
    product.x_stride = packed_.scale.numel() > 1 ? 1 : 0;
    product.x_scale = packed_.scale.const_data_ptr<float>() + first * product.x_stride;
  }
  return product;
}

void FusedLinear::begin_backward() {
  dw_ = weight_gradient_.attach(layer_->used_weight, &dw_fresh_);
  std::fill_n(bias_parts_.get(), threads_ * N_, 0.0f);
}

void FusedLinear::pack_rows(const kernels::GradientRows& dy, int64_t begin, int64_t end,
                            int64_t chunk, int64_t t, LinearScratch& s) {
  const int64_t rows = end - begin, at = begin - chunk;
  kernels::GradientScales scales;
  if (integer_backward()) {
    const int64_t stride = packed_.scale.numel() > 1 ? 1 : 0;
    scales = {w_scale_.get(), packed_.scale.const_data_ptr<float>() + begin * stride, stride};
  }
  kernels::pack_gradient_rows(dy, rows, N_, scales, s.dy_columns + at * N_,
                              s.dy_transposed + at / 2, kChunk / 2, bias_parts_ + t * N_);
}

void FusedLinear::multiply_chunk(int64_t begin, int64_t end, int64_t t, LinearScratch& s,
                                 float* dx) {
  const int64_t rows = end - begin, even = (rows + 1) / 2 * 2;
  if (integer_backward()) {
    kernels::interleave_codes(packed_.int8.const_data_ptr<int8_t>() + begin * K_, rows, K_,
                              s.x_pairs.get());
  } else {
    kernels::interleave_bfloat16(bits(blends_ ? float_x_ : packed_.bfloat16) + begin * K_, rows, K_,
                                 K_, s.x_pairs.get());
  }
  if (int8_backward()) {
    kernels::quantize_gradient_rows(s.dy_columns.get(), rows, N_, s.dy_codes.get(),
                                    s.dy_scale.get());
    multiply_int8(rows, K_, N_, s.dy_codes.get(), N_, w_backward_.get(), s.dx_acc.get(), K_);
    kernels::finish_gradient_rows(s.dx_acc.get(), shift_back_.get(), s.dy_scale.get(), rows, K_,
                                  dx);
  } else {
    multiply_bfloat16(rows, K_, N_, s.dy_columns.get(), N_, w_backward_.get(), K_, dx, K_, false);
  }
  const bool first = begin == part_of_rows(t).begin;
  float* dw = t == 0 ? dw_ : dw_parts_[static_cast<size_t>(t - 1)].get();
  const bool add = !first || (t == 0 && !dw_fresh_);
  multiply_bfloat16(N_, K_, even, reinterpret_cast<const uint16_t*>(s.dy_transposed.get()), kChunk,
                    s.x_pairs.get(), K_, dw, K_, add);
}

void FusedLinear::add_parts(int64_t t) {
  const kernels::Range slice = kernels::part_of(N_ * K_, kGrain, t, threads_);
  for (int64_t other = 1; other < threads_; ++other)
    if (!part_of_rows(other).empty() && !slice.empty())
      kernels::add_rows(dw_parts_[static_cast<size_t>(other - 1)] + slice.begin, 1,
                        slice.end - slice.begin, dw_ + slice.begin);
  if (t != 0) return;
  const auto add_bias = [&](const at::Tensor& bias, Gradient& gradient) {
    if (bias.defined()) kernels::add_rows(bias_parts_.get(), threads_, N_, gradient.attach(bias));
  };
  add_bias(layer_->bias, bias_gradient_);
  add_bias(layer_->row_bias, row_bias_gradient_);
}

void FusedLinear::pass_surrogate(const at::Tensor& dx_RK) const {
  const kernels::Span span("backward", "surrogates");
  activation_gradient_.pass(dx_RK);
  if (hadamard_block_ == 0) return;
  float* dx = dx_RK.data_ptr<float>();
  kernels::block_hadamard(dx, dx_RK.numel(), hadamard_block_, dx);
}

}  // namespace bitloop::trainer
