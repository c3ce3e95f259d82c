// Causal multi-head attention of the fused training step, in bfloat16 with float32 accumulators:
// softmax(q kᵀ / sqrt(S), causal) v, a block of queries at a time against the keys before them,
// forward and backward through oneDNN's block kernels. Backward computes the weights again from
// each row's largest score and sum (the idea of FlashAttention, Dao et al. 2022, without its blocks
// over keys: a row of scores is short enough here). trainer/kernels/attention.h is the same in
// float32.
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
  // Heads of a multiple of 16; any number of tokens, best a multiple of 32.
  static bool supports(const kernels::AttentionShape& shape);

  explicit FusedAttention(const kernels::AttentionShape& shape);

  // Heads [begin, end). qkv (B, T, 3 D) bfloat16: queries, keys, values beside one another. out (B,
  // T, D). largest and inverse (B, H, T): each row's largest score and the inverse of its sum.
  void forward(const uint16_t* qkv, int64_t begin, int64_t end, float* out, float* largest,
               float* inverse);
  // dqkv (B, T, 3 D) from dout (B, T, D) bfloat16, delta (B, H, T) = the rows of dout · out
  // (kernels::round_and_dot_heads makes both) and what forward left. Writes every element of the
  // heads.
  void backward(const uint16_t* qkv, const float* largest, const float* inverse,
                const uint16_t* dout, const float* delta, int64_t begin, int64_t end, float* dqkv);

 private:
  // Matrices of one head (P, S), rows `stride` apart, with P a multiple of a block.
  struct Inputs {
    const uint16_t *q, *k, *v;
    int64_t stride;
  };
  struct OutputGradient {  // dout (P, S) bfloat16, rows `stride` apart, and delta (P)
    const uint16_t* rows;
    int64_t stride;
    const float* delta;
  };
  struct Gradients {
    float *dq, *dk, *dv;
    int64_t stride;
  };
  Inputs inputs_of(const uint16_t* qkv, const kernels::HeadPlace& at);
  OutputGradient gradient_of(const uint16_t* dout, const float* delta,
                             const kernels::HeadPlace& at);
  void forward_head(const Inputs& head, float* out, int64_t stride, float* largest, float* inverse);
  void backward_head(const Inputs& head, const OutputGradient& dout, const float* largest,
                     const float* inverse, const Gradients& to);

  kernels::AttentionShape shape_;
  int64_t P_;                               // T, padded to whole blocks
  Buffer<uint32_t> k_columns_, v_columns_;  // (S / 2, P) words: kᵀ and vᵀ as right factors
  Buffer<uint32_t> q_pairs_, k_pairs_, v_pairs_, dout_pairs_;  // (P / 2, S) words
  Buffer<float> scores_, products_;                            // (kQueries, P)
  Buffer<uint16_t> weights_;                                   // (kQueries, P) bfloat16
  Buffer<uint32_t> p_pairs_, ds_pairs_;                        // (kQueries / 2, P) words
  Buffer<uint32_t> p_columns_, ds_columns_;                    // (P, P / 2) words: pᵀ and dsᵀ
  // A head's matrices with rows of zeros behind them, where T is no whole number of blocks.
  Buffer<uint16_t> padded_qkv_, padded_dout_;                     // (P, 3 S), (P, S)
  Buffer<float> padded_out_, padded_dqkv_;                        // (P, S), (P, 3 S)
  Buffer<float> padded_largest_, padded_inverse_, padded_delta_;  // (P)
};

}  // namespace bitloop::trainer
