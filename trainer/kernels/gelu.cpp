#include "trainer/kernels/gelu.h"

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr float kScale = 0.7978845608028654f;  // sqrt(2 / pi)
constexpr float kCubic = 0.044715f;
constexpr int64_t kGrain = 4096;

BITLOOP_SIMD void forward_piece(const float* x, float* y, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float v = x[i];
    y[i] = 0.5f * v * (1.0f + tanh_inline(kScale * (v + kCubic * v * v * v)));
  }
}

BITLOOP_SIMD void backward_piece(const float* dy, const float* x, float* dx, int64_t begin,
                                 int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float v = x[i];
    const float t = tanh_inline(kScale * (v + kCubic * v * v * v));
    const float slope = kScale * (1.0f + 3.0f * kCubic * v * v);
    dx[i] = dy[i] * (0.5f * (1.0f + t) + 0.5f * v * (1.0f - t * t) * slope);
  }
}

}  // namespace

void gelu_forward(const float* x, float* y, int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { forward_piece(x, y, begin, end); });
}

void gelu_backward(const float* dy, const float* x, float* dx, int64_t n) {
  run_parts(n, kGrain,
                  [=](int64_t begin, int64_t end) { backward_piece(dy, x, dx, begin, end); });
}

void gelu_rows(const float* x, float* y, int64_t n) { forward_piece(x, y, 0, n); }

void gelu_backward_rows(const float* dy, const float* x, float* dx, int64_t n) {
  backward_piece(dy, x, dx, 0, n);
}

}  // namespace bitloop::kernels
