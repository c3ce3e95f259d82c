#include "trainer/kernels/gelu.h"

#include <cstring>

#include "trainer/kernels/bfloat16.h"
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

// x becomes gelu(x), and the lower half of sloped gelu'(x) in bfloat16. With s = sigmoid(2 u) =
// (1 + tanh u) / 2 and u = sqrt(2/pi) (x + 0.044715 x^3): gelu = x s and gelu' = s + x s (1 - s) 2 u'.
// One exponential for both. Beyond 8 the sigmoid is 0 or 1: its argument is clamped there, as
// integers; NaN reaches both results by way of x itself.
__attribute__((always_inline)) inline void gelu_lanes(Lanes& x, WordLanes& sloped) {
  constexpr float kBase2 = -2.0f * 1.44269504089f * kScale;
  constexpr IntLanes kSign = IntLanes{} + INT32_MIN,
                     kMost = IntLanes{} + std::bit_cast<int32_t>(8.0f);
  const IntLanes bits = (IntLanes)x, size = bits & ~kSign;  // NOLINT: bits, not numbers
  const IntLanes clamped = (size < kMost ? size : kMost) | (bits & kSign);
  const Lanes u = (Lanes)clamped, square = u * u;  // NOLINT
  Lanes s = u * (kBase2 + kBase2 * kCubic * square);
  exp2_lanes(s);
  s = 1.0f / (1.0f + s);
  x *= s;
  const Lanes slope = s + (x - x * s) * (2.0f * kScale + 6.0f * kScale * kCubic * square);
  sloped = ((WordLanes)slope + 0x8000u) >> 16;  // NOLINT
}

}  // namespace

void gelu_forward(const float* x, float* y, int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { forward_piece(x, y, begin, end); });
}

void gelu_backward(const float* dy, const float* x, float* dx, int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { backward_piece(dy, x, dx, begin, end); });
}

BITLOOP_SIMD void gelu_with_slope(const float* x, float* y, uint16_t* slope, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes value = *reinterpret_cast<const LanesInMemory*>(x + i);
    WordLanes sloped;
    gelu_lanes(value, sloped);
    *reinterpret_cast<LanesInMemory*>(y + i) = value;
    store_low_halves(sloped, slope + i);
  }
  if (i == n) return;
  Lanes value = {};
  WordLanes sloped;
  uint16_t halves[kLanes];
  const auto count = static_cast<size_t>(n - i);
  std::memcpy(&value, x + i, count * sizeof(float));
  gelu_lanes(value, sloped);
  store_low_halves(sloped, halves);
  std::memcpy(y + i, &value, count * sizeof(float));
  std::memcpy(slope + i, halves, count * sizeof(uint16_t));
}

}  // namespace bitloop::kernels
