#include "trainer/kernels/rotary.h"

#include <algorithm>

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kGrain = 16;  // rows that a thread takes at least

BITLOOP_SIMD void rotate_row(const float* x, const float* cosine, const float* sine, int64_t heads,
                             int64_t half, float sign, float* y) {
  for (int64_t h = 0; h < heads; ++h) {
    const float *a = x + 2 * h * half, *b = a + half;
    float *to_a = y + 2 * h * half, *to_b = to_a + half;
#pragma omp simd
    for (int64_t i = 0; i < half; ++i) {
      const float c = cosine[i], s = sign * sine[i];
      to_a[i] = a[i] * c - b[i] * s;
      to_b[i] = b[i] * c + a[i] * s;
    }
  }
}

}  // namespace

void rotate(const float* x, const float* cosine, const float* sine, const RotaryShape& shape,
            bool back, float* y) {
  const auto [R, C, P, heads, S] = shape;
  const int64_t half = S / 2, turned = heads * S;
  run_parts(R, kGrain, [=, C = C, P = P, heads = heads](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r % P * half;
      rotate_row(x + r * C, cosine + at, sine + at, heads, half, back ? -1.0f : 1.0f, y + r * C);
      std::copy(x + r * C + turned, x + (r + 1) * C, y + r * C + turned);
    }
  });
}

}  // namespace bitloop::kernels
