// Causal multi-head self-attention on the CPU, float32: softmax(q kᵀ / sqrt(S), causal) v, head by
// head.
//
// A head's scores never leave the cache: eight queries at a time meet all keys before them, and
// backward computes the probabilities again from the saved logarithm of their sum (the idea of
// FlashAttention, Dao et al. 2022, without its blocks over keys: a row of scores is short enough
// here). Legend: B batch, T tokens, H heads, S head size, D = H S.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

struct AttentionShape {
  int64_t B, T, H, S;
};

// Offsets of head n = b H + h in tensors (B, T, 3 D), (B, T, D) and (B, H, T).
struct HeadPlace {
  int64_t qkv, out, rows;
};
inline HeadPlace head_place(int64_t n, const AttentionShape& s) {
  const int64_t b = n / s.H, h = n % s.H, D = s.H * s.S;
  return {b * s.T * 3 * D + h * s.S, b * s.T * D + h * s.S, n * s.T};
}

// Whether the kernels below take this shape (S of 16, 32 or 64); others are for the caller's
// fallback.
bool attention_supported(const AttentionShape& shape);

// qkv (B, T, 3 D): queries, keys, values beside one another. out (B, T, D). lse (B, H, T): log of
// the sum of exponentials, kept for backward.
void attention_forward(const float* qkv, const AttentionShape& shape, float* out, float* lse);

// dqkv (B, T, 3 D) from dout (B, T, D); qkv, out and lse as forward left them. Every element of
// dqkv is written.
void attention_backward(const float* qkv, const float* out, const float* lse, const float* dout,
                        const AttentionShape& shape, float* dqkv);

}  // namespace bitloop::kernels
