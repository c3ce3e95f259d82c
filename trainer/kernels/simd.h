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

// e^(x - n ln 2), where that is at most ln(2)/2 in size. Cephes' range reduction (ln 2 in two parts)
// and polynomial.
__attribute__((always_inline)) inline float exp_remainder(float x, float n) {
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * r * r + r + 1.0f;
}

// e^x for |x| <= 87, clamped outside; relative error below 2e-7.
__attribute__((always_inline)) inline float exp_inline(float x) {
  x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
  const float n = __builtin_rintf(x * 1.44269504089f);
  return exp_remainder(x, n) * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// e^x for any x, as exact: infinite where float32 ends, 0 where it begins, NaN for NaN. 2^n in two
// factors, so that neither leaves the range of float32.
__attribute__((always_inline)) inline float exp_everywhere(float x) {
  x = x < -105.0f ? -105.0f : x > 90.0f ? 90.0f : x;
  const float n = __builtin_rintf(x * 1.44269504089f);
  const auto whole = static_cast<int32_t>(n);
  const int32_t half = whole >> 1;
  return exp_remainder(x, n) * std::bit_cast<float>((half + 127) << 23) *
         std::bit_cast<float>((whole - half + 127) << 23);
}

// Sixteen numbers that the compiler maps to the registers of whatever instruction set a clone is
// for; the second forms are for any place in memory.
typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t IntLanes __attribute__((vector_size(64)));
typedef uint32_t WordLanes __attribute__((vector_size(64)));
typedef float LanesInMemory __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t WordLanesInMemory __attribute__((vector_size(64), aligned(4), may_alias));
constexpr int64_t kLanes = 16;

// 2^x of each, for x in [-126, 127] with a relative error below 4e-7, exact at 0; tiny below (at
// most 1e-20 in size) and for x up to 200 huge above. The polynomial is the minimax one of degree 5
// for 2^r on |r| <= 1/2. Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits,
// where it is also clamped: a comparison of integers is one instruction, one of floats that minds
// NaN is not. By reference: a vector passed by value would have another calling convention in each
// clone.
constexpr float kRounder = 12582912.0f;
constexpr int32_t kRounderBits = 0x4b400000;
__attribute__((always_inline)) inline void exp2_lanes(Lanes& x) {
  const Lanes shifted = x + kRounder;
  const Lanes r = x - (shifted - kRounder);
  Lanes p = r * 1.3276471873e-03f + 9.6755413335e-03f;
  p = p * r + 5.5507132739e-02f;
  p = p * r + 2.4022119724e-01f;
  p = p * r + 6.9314696706e-01f;
  p = p * r + 1.0f;
  IntLanes n = (IntLanes)shifted;  // NOLINT: bits, not numbers; and so below
  n = n < kRounderBits - 126 ? IntLanes{} + (kRounderBits - 126) : n;
  n = n > kRounderBits + 127 ? IntLanes{} + (kRounderBits + 127) : n;
  x = (Lanes)((WordLanes)p + ((WordLanes)n << 23));  // NOLINT
}

typedef uint16_t HalfLanes __attribute__((vector_size(32)));
typedef uint16_t HalfLanesInMemory __attribute__((vector_size(32), aligned(2), may_alias));

// bfloat16_pair (bfloat16.h) of each lane: a in the lower half.
__attribute__((always_inline)) inline void pair_lanes(const Lanes& a, const Lanes& b,
                                                      WordLanes& pair) {
  const WordLanes x = (WordLanes)a, y = (WordLanes)b;  // NOLINT: bits, not numbers
  pair = (x + 0x7fffu + ((x >> 16) & 1u)) >> 16 | ((y + 0x7fffu + ((y >> 16) & 1u)) & 0xffff0000u);
}

__attribute__((always_inline)) inline void store_low_halves(const WordLanes& words, uint16_t* out) {
  *reinterpret_cast<HalfLanesInMemory*>(out) = __builtin_convertvector(words, HalfLanes);
}

// tanh(x) = 1 - 2 / (e^2x + 1): absolute error below 2e-7.
__attribute__((always_inline)) inline float tanh_inline(float x) {
  return 1.0f - 2.0f / (exp_inline(2.0f * x) + 1.0f);
}

}  // namespace bitloop::kernels
