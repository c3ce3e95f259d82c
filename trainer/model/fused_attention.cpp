#include "trainer/model/fused_attention.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "trainer/kernels/packing.h"
#include "trainer/kernels/rows.h"
#include "trainer/kernels/softmax.h"
#include "trainer/model/products.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kQueries = 32;  // of a block; also the keys of a block of dk and dv

const uint16_t* halves(const uint32_t* words) { return reinterpret_cast<const uint16_t*>(words); }

// to (P, n) = from (T, n), whose rows are `stride` apart, then zeros.
template <typename T>
void pad(const T* from, int64_t rows, int64_t n, int64_t stride, int64_t padded, T* to,
         int64_t to_stride) {
  for (int64_t r = 0; r < padded; ++r) {
    if (r < rows) {
      std::copy_n(from + r * stride, n, to + r * to_stride);
    } else {
      std::fill_n(to + r * to_stride, n, T{});
    }
  }
}

}  // namespace

bool FusedAttention::supports(const kernels::AttentionShape& shape) { return shape.S % 16 == 0; }

FusedAttention::FusedAttention(const kernels::AttentionShape& shape)
    : shape_(shape),
      P_((shape.T + kQueries - 1) / kQueries * kQueries),
      k_columns_(shape.S / 2 * P_),
      v_columns_(shape.S / 2 * P_),
      q_pairs_(P_ / 2 * shape.S),
      k_pairs_(P_ / 2 * shape.S),
      v_pairs_(P_ / 2 * shape.S),
      dout_pairs_(P_ / 2 * shape.S),
      scores_(kQueries * P_),
      products_(kQueries * P_),
      weights_(kQueries * P_),
      p_pairs_(kQueries / 2 * P_),
      ds_pairs_(kQueries / 2 * P_),
      p_columns_(P_ * P_ / 2),
      ds_columns_(P_ * P_ / 2),
      padded_qkv_(P_ * 3 * shape.S),
      padded_dout_(P_ * shape.S),
      padded_out_(P_ * shape.S),
      padded_dqkv_(P_ * 3 * shape.S),
      padded_largest_(P_),
      padded_inverse_(P_),
      padded_delta_(P_) {}

FusedAttention::Inputs FusedAttention::inputs_of(const uint16_t* qkv, const kernels::HeadPlace& at) {
  const auto [B, T, H, S] = shape_;
  const int64_t D = H * S;
  const uint16_t* q = qkv + at.qkv;
  if (P_ == T) return {q, q + D, q + 2 * D, 3 * D};
  uint16_t* to = padded_qkv_.get();
  for (int64_t i = 0; i < 3; ++i) pad(q + i * D, T, S, 3 * D, P_, to + i * S, 3 * S);
  return {to, to + S, to + 2 * S, 3 * S};
}

FusedAttention::OutputGradient FusedAttention::gradient_of(const uint16_t* dout,
                                                           const float* delta,
                                                           const kernels::HeadPlace& at) {
  const auto [B, T, H, S] = shape_;
  if (P_ == T) return {dout + at.out, H * S, delta + at.rows};
  pad(dout + at.out, T, S, H * S, P_, padded_dout_.get(), S);
  pad(delta + at.rows, T, int64_t{1}, int64_t{1}, P_, padded_delta_.get(), int64_t{1});
  return {padded_dout_.get(), S, padded_delta_.get()};
}

void FusedAttention::forward_head(const Inputs& head, float* out, int64_t out_stride,
                                  float* largest, float* inverse) {
  const int64_t S = shape_.S;
  const float factor = std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(S));
  kernels::transpose_words(head.k, P_, S / 2, head.stride / 2, k_columns_.get(), P_);
  kernels::interleave_bfloat16(head.v, P_, S, head.stride, v_pairs_.get());
  for (int64_t i = 0; i < P_; i += kQueries) {
    const int64_t keys = i + kQueries;
    multiply_bfloat16(kQueries, keys, S, head.q + i * head.stride, head.stride, k_columns_.get(),
                      P_, scores_.get(), P_, false);
    kernels::causal_softmax({kQueries, i, keys, P_, factor}, scores_.get(), weights_.get(),
                            largest + i, inverse + i);
    float* to = out + i * out_stride;
    multiply_bfloat16(kQueries, S, keys, weights_.get(), P_, v_pairs_.get(), S, to, out_stride,
                      false);
    kernels::multiply_rows(to, kQueries, S, out_stride, inverse + i);
  }
}

void FusedAttention::forward(const uint16_t* qkv, int64_t begin, int64_t end, float* out,
                             float* largest, float* inverse) {
  const auto [B, T, H, S] = shape_;
  for (int64_t n = begin; n < end; ++n) {
    const kernels::HeadPlace at = kernels::head_place(n, shape_);
    const Inputs head = inputs_of(qkv, at);
    if (P_ == T) {
      forward_head(head, out + at.out, H * S, largest + at.rows, inverse + at.rows);
      continue;
    }
    forward_head(head, padded_out_.get(), S, padded_largest_.get(), padded_inverse_.get());
    for (int64_t t = 0; t < T; ++t) std::copy_n(padded_out_ + t * S, S, out + at.out + t * H * S);
    std::copy_n(padded_largest_.get(), T, largest + at.rows);
    std::copy_n(padded_inverse_.get(), T, inverse + at.rows);
  }
}

void FusedAttention::backward_head(const Inputs& head, const OutputGradient& dout,
                                   const float* largest, const float* inverse,
                                   const Gradients& to) {
  const int64_t S = shape_.S, stride = head.stride;
  const float scale = 1.0f / std::sqrt(static_cast<float>(S)),
              factor = std::numbers::log2e_v<float> * scale;
  kernels::interleave_bfloat16(head.q, P_, S, stride, q_pairs_.get());
  kernels::transpose_words(head.k, P_, S / 2, stride / 2, k_columns_.get(), P_);
  kernels::interleave_bfloat16(head.k, P_, S, stride, k_pairs_.get());
  kernels::transpose_words(head.v, P_, S / 2, stride / 2, v_columns_.get(), P_);
  kernels::interleave_bfloat16(dout.rows, P_, S, dout.stride, dout_pairs_.get());
  for (int64_t i = 0; i < P_; i += kQueries) {
    const int64_t keys = i + kQueries;
    multiply_bfloat16(kQueries, keys, S, head.q + i * stride, stride, k_columns_.get(), P_,
                      scores_.get(), P_, false);
    multiply_bfloat16(kQueries, keys, S, dout.rows + i * dout.stride, dout.stride,
                      v_columns_.get(), P_, products_.get(), P_, false);
    kernels::causal_softmax_backward({kQueries, i, keys, P_, factor}, scale, scores_.get(),
                                     products_.get(), largest + i, inverse + i, dout.delta + i,
                                     weights_.get(), p_pairs_.get(), ds_pairs_.get());
    multiply_bfloat16(kQueries, S, keys, weights_.get(), P_, k_pairs_.get(), S,
                      to.dq + i * to.stride, to.stride, false);
    kernels::transpose_words(p_pairs_.get(), kQueries / 2, keys, P_, p_columns_ + i / 2, P_ / 2);
    kernels::transpose_words(ds_pairs_.get(), kQueries / 2, keys, P_, ds_columns_ + i / 2, P_ / 2);
  }
  // A block of keys meets the queries from its own on.
  for (int64_t j = 0; j < P_; j += kQueries) {
    const int64_t place = j * P_ / 2 + j / 2;
    multiply_bfloat16(kQueries, S, P_ - j, halves(p_columns_ + place), P_, dout_pairs_ + j / 2 * S,
                      S, to.dv + j * to.stride, to.stride, false);
    multiply_bfloat16(kQueries, S, P_ - j, halves(ds_columns_ + place), P_, q_pairs_ + j / 2 * S, S,
                      to.dk + j * to.stride, to.stride, false);
  }
}

void FusedAttention::backward(const uint16_t* qkv, const float* largest, const float* inverse,
                              const uint16_t* dout, const float* delta, int64_t begin, int64_t end,
                              float* dqkv) {
  const auto [B, T, H, S] = shape_;
  const int64_t D = H * S;
  for (int64_t n = begin; n < end; ++n) {
    const kernels::HeadPlace at = kernels::head_place(n, shape_);
    const Inputs head = inputs_of(qkv, at);
    const OutputGradient gradient = gradient_of(dout, delta, at);
    float* to = dqkv + at.qkv;
    if (P_ == T) {
      backward_head(head, gradient, largest + at.rows, inverse + at.rows,
                    {to, to + D, to + 2 * D, 3 * D});
      continue;
    }
    pad(largest + at.rows, T, int64_t{1}, int64_t{1}, P_, padded_largest_.get(), int64_t{1});
    pad(inverse + at.rows, T, int64_t{1}, int64_t{1}, P_, padded_inverse_.get(), int64_t{1});
    float* made = padded_dqkv_.get();
    backward_head(head, gradient, padded_largest_.get(), padded_inverse_.get(),
                  {made, made + S, made + 2 * S, 3 * S});
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < 3; ++i)
        std::copy_n(made + (t * 3 + i) * S, S, to + t * 3 * D + i * D);
  }
}

}  // namespace bitloop::trainer
