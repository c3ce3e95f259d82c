#include "trainer/kernels/swiglu.h"

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kGrain = 4096;

BITLOOP_SIMD void forward_piece(const float* gate, const float* up, float* y, int64_t begin,
                                int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) y[i] = gate[i] / (1.0f + exp_inline(-gate[i])) * up[i];
}

// With s = 1 / (1 + e^-gate): dgate = dy up (s + gate s (1 - s)), dup = dy gate s.
BITLOOP_SIMD void backward_piece(const float* dy, const float* gate, const float* up, float* dgate,
                                 float* dup, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float g = gate[i], s = 1.0f / (1.0f + exp_inline(-g)), d = dy[i];
    dgate[i] = d * up[i] * (s + g * s * (1.0f - s));
    dup[i] = d * g * s;
  }
}

}  // namespace

void swiglu_forward(const float* gate, const float* up, float* y, int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { forward_piece(gate, up, y, begin, end); });
}

void swiglu_backward(const float* dy, const float* gate, const float* up, float* dgate, float* dup,
                     int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) {
    backward_piece(dy, gate, up, dgate, dup, begin, end);
  });
}

}  // namespace bitloop::kernels
