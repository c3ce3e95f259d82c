#include "trainer/kernels/hadamard.h"

#include <cmath>
#include <cstring>

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

// Sums and differences of numbers `half` apart, in place.
BITLOOP_SIMD void butterflies(float* x, int64_t block, int64_t half) {
  for (int64_t start = 0; start < block; start += 2 * half) {
    float *a = x + start, *b = a + half;
    for (int64_t i = 0; i < half; ++i) {
      const float sum = a[i] + b[i], difference = a[i] - b[i];
      a[i] = sum;
      b[i] = difference;
    }
  }
}

// All butterflies of fewer than 16 apart, in registers: lanes change places with their partner, and
// the second of a pair is subtracted.
BITLOOP_SIMD void near_butterflies(float* x, int64_t block) {
  const WordLanes partner1 = {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14},
                  partner2 = {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13},
                  partner4 = {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11},
                  partner8 = {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7};
  const Lanes sign1 = {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
              sign2 = {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
              sign4 = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
              sign8 = {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1};
  for (int64_t i = 0; i < block; i += kLanes) {
    Lanes v = *reinterpret_cast<const LanesInMemory*>(x + i);
    v = __builtin_shuffle(v, partner1) + sign1 * v;
    v = __builtin_shuffle(v, partner2) + sign2 * v;
    v = __builtin_shuffle(v, partner4) + sign4 * v;
    v = __builtin_shuffle(v, partner8) + sign8 * v;
    *reinterpret_cast<LanesInMemory*>(x + i) = v;
  }
}

BITLOOP_SIMD void scale_block(float* x, int64_t block, float scale) {
  for (int64_t i = 0; i < block; ++i) x[i] *= scale;
}

}  // namespace

void block_hadamard(const float* in, int64_t n, int64_t block, float* out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  run_parts(n / block, 16, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* x = out + b * block;
      if (out != in)
        std::memcpy(x, in + b * block, static_cast<size_t>(block) * sizeof(float));
      if (block >= kLanes) near_butterflies(x, block);
      for (int64_t half = block >= kLanes ? kLanes : 1; half < block; half *= 2)
        butterflies(x, block, half);
      scale_block(x, block, scale);
    }
  });
}

}  // namespace bitloop::kernels
