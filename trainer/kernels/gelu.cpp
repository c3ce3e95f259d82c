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

}  // namespace

void gelu_forward(const float* x, float* y, int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { forward_piece(x, y, begin, end); });
}

void gelu_backward(const float* dy, const float* x, float* dx, int64_t n) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { backward_piece(dy, x, dx, begin, end); });
}

// With s = sigmoid(2 u) = (1 + tanh u) / 2 and u = sqrt(2/pi) (x + 0.044715 x^3): gelu = x s and
// gelu' = s + x s (1 - s) 2 u'. One exponential for both. Beyond 8 the sigmoid is 0 or 1: its
// argument is clamped there, as integers; NaN reaches both results by way of x itself.
BITLOOP_SIMD void gelu_with_slope(const float* x, float* y, uint16_t* slope, int64_t n) {
  constexpr float kBase2 = -2.0f * 1.44269504089f * kScale;
  const auto most = std::bit_cast<int32_t>(8.0f);
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t count = n - i < kLanes ? n - i : kLanes;
    Lanes v = {};
    if (count == kLanes) {
      v = *reinterpret_cast<const LanesInMemory*>(x + i);
    } else {
      std::memcpy(&v, x + i, static_cast<size_t>(count) * sizeof(float));
    }
    const IntLanes bits = (IntLanes)v, size = bits & 0x7fffffff;  // NOLINT: bits, not numbers
    const IntLanes clamped = (size > most ? IntLanes{} + most : size) | (bits & ~0x7fffffff);
    const Lanes u = (Lanes)clamped, square = u * u;  // NOLINT
    Lanes s = kBase2 * u * (1.0f + kCubic * square);
    exp2_lanes(s);
    s = 1.0f / (1.0f + s);
    const Lanes value = v * s,
                sloped = s + value * (1.0f - s) * (2.0f * kScale) * (1.0f + 3.0f * kCubic * square);
    WordLanes words;
    pair_lanes(sloped, Lanes{}, words);
    if (count == kLanes) {
      *reinterpret_cast<LanesInMemory*>(y + i) = value;
      store_low_halves(words, slope + i);
    } else {
      uint16_t halves[kLanes];
      store_low_halves(words, halves);
      std::memcpy(y + i, &value, static_cast<size_t>(count) * sizeof(float));
      std::memcpy(slope + i, halves, static_cast<size_t>(count) * sizeof(uint16_t));
    }
  }
}

BITLOOP_SIMD void multiply_by_slope(const float* dy, const uint16_t* slope, float* dx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * from_bfloat16(slope[i]);
}

}  // namespace bitloop::kernels
