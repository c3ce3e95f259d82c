// The fast Walsh-Hadamard transform by blocks (Fino & Algazi 1976): log2(block) passes of additions
// instead of a product. Each row is computed on its own, so its bits do not depend on its neighbours.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// out = in with every run of `block` numbers multiplied by the symmetric orthogonal Hadamard matrix
// (Sylvester's order, scaled by 1 / sqrt(block)). block is a power of two and divides n; out may be
// in. The transform is its own inverse.
void block_hadamard(const float* in, int64_t n, int64_t block, float* out);

}  // namespace bitloop::kernels
