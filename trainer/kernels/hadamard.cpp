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
      for (int64_t half = 1; half < block; half *= 2) butterflies(x, block, half);
      scale_block(x, block, scale);
    }
  });
}

}  // namespace bitloop::kernels
