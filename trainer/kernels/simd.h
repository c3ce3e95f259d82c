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

// 2^x of each, for x <= 127 with a relative error below 4e-7, exact at whole numbers; tiny (at most
// 1e-20 in size) below -126, and NaN for NaN. The polynomial is the minimax one of degree 5 for 2^r
// on |r| <= 1/2. Adding 1.5 * 2^23 + 127 rounds x to a whole number and leaves it, as an exponent
// with its bias, in the low bits, where it is also clamped: a comparison of integers is one
// instruction, one of floats that minds NaN is not. By reference: a vector passed by value would
// have another calling convention in each clone.
__attribute__((always_inline)) inline void exp2_lanes(Lanes& x) {
  constexpr float kRounder = 12582912.0f + 127.0f;
  constexpr IntLanes kLeast = IntLanes{} + (0x4b400000 + 127 - 126);
  const Lanes shifted = x + kRounder;
  const Lanes r = x - (shifted - kRounder);
  Lanes p = r * 1.3276471873e-03f + 9.6755413335e-03f;
  p = p * r + 5.5507132739e-02f;
  p = p * r + 2.4022119724e-01f;
  p = p * r + 6.9314696706e-01f;
  p = p * r + 1.0f;
  const IntLanes whole = (IntLanes)shifted;  // NOLINT: bits, not numbers; and below
  const IntLanes exponent = whole > kLeast ? whole : kLeast;
  x = p * (Lanes)((WordLanes)exponent << 23);  // NOLINT
}

typedef uint16_t HalfLanes __attribute__((vector_size(32)));
typedef uint16_t HalfLanesInMemory __attribute__((vector_size(32), aligned(2), may_alias));

// Both rounded to bfloat16 in a word, a in the lower half. To the nearest, and ties away from zero:
// ties to even would take three more instructions of about thirty that packing has for two numbers,
// and a tie is one of 65,536. Of all NaNs only the usual quiet one is sure to stay NaN.
__attribute__((always_inline)) inline void pair_lanes(const Lanes& a, const Lanes& b,
                                                      WordLanes& pair) {
  const WordLanes x = (WordLanes)a + 0x8000u, y = (WordLanes)b + 0x8000u;  // NOLINT: bits
  pair = x >> 16 | (y & 0xffff0000u);
}

__attribute__((always_inline)) inline void store_low_halves(const WordLanes& words, uint16_t* out) {
  *reinterpret_cast<HalfLanesInMemory*>(out) = __builtin_convertvector(words, HalfLanes);
}

// All lanes become their largest, or their sum, in four exchanges.
#define BITLOOP_ACROSS(x, combine)                                                                    \
  combine(x, __builtin_shuffle(x, WordLanes{8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7})); \
  combine(x, __builtin_shuffle(x, WordLanes{4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11})); \
  combine(x, __builtin_shuffle(x, WordLanes{2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13})); \
  combine(x, __builtin_shuffle(x, WordLanes{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14}))

__attribute__((always_inline)) inline void keep_larger(Lanes& x, const Lanes& other) {
  x = other > x ? other : x;
}
__attribute__((always_inline)) inline void add_lanes(Lanes& x, const Lanes& other) { x += other; }
__attribute__((always_inline)) inline void largest_across(Lanes& x) {
  BITLOOP_ACROSS(x, keep_larger);
}
__attribute__((always_inline)) inline void sum_across(Lanes& x) { BITLOOP_ACROSS(x, add_lanes); }
#undef BITLOOP_ACROSS

// Numbers of bfloat16 as floats.
__attribute__((always_inline)) inline void load_bfloat16(const uint16_t* from, Lanes& x) {
  const HalfLanes halves = *reinterpret_cast<const HalfLanesInMemory*>(from);
  x = (Lanes)(__builtin_convertvector(halves, WordLanes) << 16);  // NOLINT: bits, not numbers
}

// tanh(x) = 1 - 2 / (e^2x + 1): absolute error below 2e-7.
__attribute__((always_inline)) inline float tanh_inline(float x) {
  return 1.0f - 2.0f / (exp_inline(2.0f * x) + 1.0f);
}

}  // namespace bitloop::kernels
