// Causal multi-head attention of the fused training step, in bfloat16 with float32 accumulators:
// softmax(q kᵀ / sqrt(S), causal) v, a block of queries at a time against the keys before them,
// forward and backward through oneDNN's block kernels. Backward computes the weights again from each
// row's largest score and sum (the idea of FlashAttention, Dao et al. 2022, without its blocks over
// keys: a row of scores is short enough here). trainer/kernels/attention.h is the same in float32.
//
// Legend: B sequences, T tokens, H heads, S head size, D = H S, head n = b H + h.
#pragma once

#include <cstdint>

#include "trainer/kernels/attention.h"
#include "trainer/model/buffer.h"

namespace bitloop::trainer {

// One thread's attention: its scratch, used for one head after the other.
class FusedAttention {
 public:
  static bool supports(const kernels::AttentionShape& shape);

  explicit FusedAttention(const kernels::AttentionShape& shape);

  // Heads [begin, end). qkv (B, T, 3 D) bfloat16: queries, keys, values beside one another. out (B,
  // T, D). largest and inverse (B, H, T): each row's largest score and the inverse of its sum.
  void forward(const uint16_t* qkv, int64_t begin, int64_t end, float* out, float* largest,
               float* inverse);
  // dqkv (.., T, 3 D), from the sequence of head `begin` on, of dout (B, T, D) and what forward left.
  // Writes every element of the heads.
  void backward(const uint16_t* qkv, const float* out, const float* largest, const float* inverse,
                const float* dout, int64_t begin, int64_t end, float* dqkv);

 private:
  struct Place;
  Place place_of(int64_t n) const;

  kernels::AttentionShape shape_;
  Buffer<uint16_t> dout_;                   // (T, S)
  Buffer<uint32_t> k_columns_, v_columns_;  // (S / 2, T) words: kᵀ and vᵀ as right factors
  Buffer<uint32_t> q_pairs_, k_pairs_, v_pairs_, dout_pairs_;  // (T / 2, S) words
  Buffer<float> scores_, products_;                            // (kQueries, T)
  Buffer<uint16_t> weights_;                                   // (kQueries, T) bfloat16
  Buffer<uint32_t> p_pairs_, ds_pairs_;                        // (kQueries / 2, T) words
  Buffer<uint32_t> p_columns_, ds_columns_;                    // (T, T / 2) words: pᵀ and dsᵀ
  Buffer<float> delta_;                                        // (kQueries)
};

}  // namespace bitloop::trainer
