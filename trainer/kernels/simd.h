// What the CPU kernels share: function versions for several instruction sets, and an exponential
// the vectoriser can inline.
#pragma once

#include <bit>
#include <cstdint>

// Compiles a function for AVX-512, AVX2 and plain x86-64; the loader picks the best the processor
// has.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BITLOOP_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BITLOOP_SIMD
#endif

namespace bitloop::kernels {

// e^x for |x| <= 87, clamped outside; relative error below 2e-7. Cephes' range reduction and
// polynomial: e^x = 2^n e^r with r = x - n ln 2 in two parts, |r| <= ln(2)/2.
__attribute__((always_inline)) inline float exp_inline(float x) {
  x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
  const float n = __builtin_rintf(x * 1.44269504089f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// tanh(x) = 1 - 2 / (e^2x + 1): absolute error below 2e-7.
__attribute__((always_inline)) inline float tanh_inline(float x) {
  return 1.0f - 2.0f / (exp_inline(2.0f * x) + 1.0f);
}

}  // namespace bitloop::kernels
