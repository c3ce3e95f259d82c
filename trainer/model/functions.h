// Operations of the model with a backward of their own: faster than composing LibTorch's, with the
// same results within float32 rounding (tests compare them). On CUDA LibTorch's own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitloop::trainer {

// tanh-GELU, any shape, float32 contiguous.
at::Tensor gelu_tanh(const at::Tensor& x);

// RMSNorm of rows: x / sqrt(mean(x²) + epsilon) weight. x (R, D) float32, weight (D).
at::Tensor rms_norm(const at::Tensor& x_RD, const at::Tensor& weight_D, double epsilon);
// silu(gate) up (Shazeer 2020), all of one shape, float32.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

// Causal multi-head self-attention: softmax(q kᵀ / sqrt(D / H), masked) v.
// qkv (B, T, 3 D): queries, keys and values beside one another, each D = heads * head size. Returns
// (B, T, D).
// The same where `mask_B1TT` (bool) says which places (columns) a place (row) sees.
at::Tensor masked_attention(const at::Tensor& qkv_BTC, int64_t heads, const at::Tensor& mask_B1TT);
at::Tensor causal_attention(const at::Tensor& qkv_BTC, int64_t heads);
// Of one token to those before it and itself: q (H S), keys and values (T, G S) of the tokens,
// where H/G heads share keys and values. Returns (H S). By LibTorch's operations.
at::Tensor attention_of_one(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                            int64_t heads, int64_t key_heads);

}  // namespace bitloop::trainer
