// The Hadamard transform by blocks, with its gradient.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitloop::lua {

inline constexpr int64_t kMaxHadamard = 4096;

// Whether a block of this size exists: a power of two up to kMaxHadamard.
inline bool is_hadamard_block(int64_t block) {
  return block >= 1 && block <= kMaxHadamard && (block & (block - 1)) == 0;
}

// x (..., K) float32 with each run of `block` along the last dimension times the symmetric
// orthogonal Hadamard matrix; the gradient goes through the same transform. Requires:
// is_hadamard_block(block), and block divides K.
at::Tensor block_hadamard(const at::Tensor& x, int64_t block);

// The same numbers by LibTorch's operations, on any device, without a gradient of their own.
at::Tensor hadamard_by_operations(const at::Tensor& x, int64_t block);

}  // namespace bitloop::lua
