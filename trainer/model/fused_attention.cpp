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

}  // namespace

// Offsets of a head.
struct FusedAttention::Place {
  int64_t qkv, out, rows;
};

FusedAttention::Place FusedAttention::place_of(int64_t n) const {
  const auto [B, T, H, S] = shape_;
  const int64_t b = n / H, h = n % H, D = H * S;
  return {b * T * 3 * D + h * S, b * T * D + h * S, n * T};
}

bool FusedAttention::supports(const kernels::AttentionShape& shape) {
  return shape.T % kQueries == 0 && shape.S % 16 == 0;
}

FusedAttention::FusedAttention(const kernels::AttentionShape& shape)
    : shape_(shape),
      dout_(shape.T * shape.S),
      k_columns_(shape.S / 2 * shape.T),
      v_columns_(shape.S / 2 * shape.T),
      q_pairs_(shape.T / 2 * shape.S),
      k_pairs_(shape.T / 2 * shape.S),
      v_pairs_(shape.T / 2 * shape.S),
      dout_pairs_(shape.T / 2 * shape.S),
      scores_(kQueries * shape.T),
      products_(kQueries * shape.T),
      weights_(kQueries * shape.T),
      p_pairs_(kQueries / 2 * shape.T),
      ds_pairs_(kQueries / 2 * shape.T),
      p_columns_(shape.T * shape.T / 2),
      ds_columns_(shape.T * shape.T / 2),
      delta_(kQueries) {}

void FusedAttention::forward(const uint16_t* qkv, int64_t begin, int64_t end, float* out,
                             float* largest, float* inverse) {
  const auto [B, T, H, S] = shape_;
  const int64_t D = H * S, stride = 3 * D;
  const float factor = std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(S));
  for (int64_t n = begin; n < end; ++n) {
    const Place at = place_of(n);
    const uint16_t *q = qkv + at.qkv, *k = q + D, *v = k + D;
    kernels::transpose_words(k, T, S / 2, stride / 2, k_columns_.get(), T);
    kernels::interleave_bfloat16(v, T, S, stride, v_pairs_.get());
    for (int64_t i = 0; i < T; i += kQueries) {
      const int64_t keys = i + kQueries;
      multiply_bfloat16(kQueries, keys, S, q + i * stride, stride, k_columns_.get(), T, scores_.get(), T,
                        false);
      float* row_inverse = inverse + at.rows + i;
      kernels::causal_softmax({kQueries, i, keys, T, factor}, scores_.get(), weights_.get(),
                              largest + at.rows + i, row_inverse);
      float* to = out + at.out + i * D;
      multiply_bfloat16(kQueries, S, keys, weights_.get(), T, v_pairs_.get(), S, to, D, false);
      kernels::multiply_rows(to, kQueries, S, D, row_inverse);
    }
  }
}

void FusedAttention::backward(const uint16_t* qkv, const float* out, const float* largest,
                              const float* inverse, const float* dout, int64_t begin, int64_t end,
                              float* dqkv) {
  const auto [B, T, H, S] = shape_;
  const int64_t D = H * S, stride = 3 * D;
  const int64_t first = begin / H * T * stride;
  const float scale = 1.0f / std::sqrt(static_cast<float>(S)),
              factor = std::numbers::log2e_v<float> * scale;
  for (int64_t n = begin; n < end; ++n) {
    const Place at = place_of(n);
    const uint16_t *q = qkv + at.qkv, *k = q + D, *v = k + D;
    kernels::interleave_bfloat16(q, T, S, stride, q_pairs_.get());
    kernels::transpose_words(k, T, S / 2, stride / 2, k_columns_.get(), T);
    kernels::interleave_bfloat16(k, T, S, stride, k_pairs_.get());
    kernels::transpose_words(v, T, S / 2, stride / 2, v_columns_.get(), T);
    for (int64_t t = 0; t < T; ++t)
      kernels::round_to_bfloat16(dout + at.out + t * D, S, dout_ + t * S);
    kernels::interleave_bfloat16(dout_.get(), T, S, S, dout_pairs_.get());
    float *dq = dqkv + (at.qkv - first), *dk = dq + D, *dv = dk + D;
    for (int64_t i = 0; i < T; i += kQueries) {
      const int64_t keys = i + kQueries;
      multiply_bfloat16(kQueries, keys, S, q + i * stride, stride, k_columns_.get(), T, scores_.get(), T,
                        false);
      multiply_bfloat16(kQueries, keys, S, dout_ + i * S, S, v_columns_.get(), T, products_.get(),
                        T, false);
      kernels::dot_rows(dout + at.out + i * D, out + at.out + i * D, kQueries, S, D, delta_.get());
      kernels::causal_softmax_backward(
          {kQueries, i, keys, T, factor}, scale, scores_.get(), products_.get(),
          largest + at.rows + i, inverse + at.rows + i, delta_.get(), weights_.get(),
          p_pairs_.get(), ds_pairs_.get());
      multiply_bfloat16(kQueries, S, keys, weights_.get(), T, k_pairs_.get(), S, dq + i * stride,
                        stride, false);
      kernels::transpose_words(p_pairs_.get(), kQueries / 2, keys, T, p_columns_ + i / 2, T / 2);
      kernels::transpose_words(ds_pairs_.get(), kQueries / 2, keys, T, ds_columns_ + i / 2, T / 2);
    }
    // A block of keys meets the queries from its own on.
    for (int64_t j = 0; j < T; j += kQueries) {
      const int64_t place = j * T / 2 + j / 2;
      multiply_bfloat16(kQueries, S, T - j, halves(p_columns_ + place), T,
                        dout_pairs_ + j / 2 * S, S, dv + j * stride, stride, false);
      multiply_bfloat16(kQueries, S, T - j, halves(ds_columns_ + place), T, q_pairs_ + j / 2 * S, S,
                        dk + j * stride, stride, false);
    }
  }
}

}  // namespace bitloop::trainer
