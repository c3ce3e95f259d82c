// Attention as the tests of its kernels compare with it.
#pragma once

#include <ATen/ATen.h>

#include <cmath>

namespace bitloop::trainer {

// Attention composed of plain operations in double precision: the independent reference. qkv
// (B, T, 3 D) as float64.
inline at::Tensor reference_attention(const at::Tensor& qkv, int64_t heads) {
  const int64_t B = qkv.size(0), T = qkv.size(1), D = qkv.size(2) / 3, S = D / heads;
  const auto parts = qkv.view({B, T, 3, heads, S}).permute({2, 0, 3, 1, 4});
  at::Tensor scores = parts[0].matmul(parts[1].transpose(2, 3)) / std::sqrt(static_cast<double>(S));
  scores = scores.masked_fill(at::ones({T, T}, at::kBool).triu(1), -INFINITY);
  return scores.softmax(-1).matmul(parts[2]).transpose(1, 2).reshape({B, T, D});
}

}  // namespace bitloop::trainer
