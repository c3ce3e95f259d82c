// Packed products of one row of x with AVX-512, several rows of the weight at a time: the speed of
// decoding. So few instructions a byte that memory is what is waited for, which is asked ahead.
#include "trainer/kernels/packed_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// GCC 12 takes what its own header leaves undefined on purpose for a mistake of ours.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define BITLOOP_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))
#define BITLOOP_AVX512_INLINE BITLOOP_AVX512 __attribute__((always_inline)) inline

namespace bitloop::kernels {
namespace {

// Of each number below 81 its four base-three digits, two bits each.
struct alignas(64) Digits {
  uint8_t of[128];
};
constexpr Digits make_digits() {
  Digits digits{};
  for (int n = 0; n < 81; ++n)
    digits.of[n] = static_cast<uint8_t>(n % 3 | n / 3 % 3 << 2 | n / 9 % 3 << 4 | n / 27 << 6);
  return digits;
}
constexpr Digits kDigits = make_digits();

// Bytes become one unsigned byte a code: the code times its place's factor, since shifting it down
// would cost an instruction and the sum can be divided in the end.
template <int kInByte>
struct Places {
  static constexpr int kBits = 8 / kInByte;
  BITLOOP_AVX512_INLINE void split(__m512i bytes, __m512i* places) const {
    constexpr int kMask = (1 << kBits) - 1;
#pragma GCC unroll 8
    for (int i = 0; i < kInByte; ++i)
      places[i] =
          _mm512_and_si512(bytes, _mm512_set1_epi8(static_cast<char>(kMask << (i * kBits))));
  }
  BITLOOP_AVX512_INLINE __m512i sum(const __m512i* sums) const {
    __m512i all = sums[0];
#pragma GCC unroll 8
    for (int i = 1; i < kInByte; ++i)
      all = _mm512_add_epi32(all, _mm512_srai_epi32(sums[i], i * kBits));
    return all;
  }
};

// Base three: the smaller one of b and b - 81, which wraps around, is the rest after one division,
// and likewise after another. What was taken off is 81 times the fifth digit; a sum of such is
// divided by a product, as every multiple of an odd number can be in 32 bits.
template <>
struct Places<5> {
  static constexpr uint32_t kOneOf81 = 0x781948b1;
  static_assert(81 * kOneOf81 == 1);
  __m512i low, high;
  BITLOOP_AVX512_INLINE Places() {
    low = _mm512_load_si512(kDigits.of);
    high = _mm512_load_si512(kDigits.of + 64);
  }

  BITLOOP_AVX512_INLINE void split(__m512i bytes, __m512i* places) const {
    const __m512i divisor = _mm512_set1_epi8(81);
    __m512i rest = _mm512_min_epu8(bytes, _mm512_sub_epi8(bytes, divisor));
    rest = _mm512_min_epu8(rest, _mm512_sub_epi8(rest, divisor));
    const __m512i four = _mm512_permutex2var_epi8(low, rest, high);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      places[i] = _mm512_and_si512(four, _mm512_set1_epi8(static_cast<char>(3 << (2 * i))));
    places[4] = _mm512_sub_epi8(bytes, rest);
  }
  BITLOOP_AVX512_INLINE __m512i sum(const __m512i* sums) const {
    __m512i all = _mm512_mullo_epi32(sums[4], _mm512_set1_epi32(static_cast<int>(kOneOf81)));
    all = _mm512_add_epi32(all, sums[0]);
#pragma GCC unroll 4
    for (int i = 1; i < 4; ++i) all = _mm512_add_epi32(all, _mm512_srai_epi32(sums[i], 2 * i));
    return all;
  }
};

BITLOOP_AVX512_INLINE __m512i add_pairs(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

// The sums of four vectors.
BITLOOP_AVX512_INLINE __m128i sums_across(const __m512i* of) {
  const __m512i first = add_pairs(of[0], of[1]), second = add_pairs(of[2], of[3]);
  const __m512i all =
      _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
  const __m256i half =
      _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

template <int kInByte>
BITLOOP_AVX512_INLINE void add_step(const Places<kInByte>& places, __m512i bytes,
                                    const InputStep* x, __m512i* sums) {
  __m512i codes[kInByte];
  places.split(bytes, codes);
#pragma GCC unroll 8
  for (int i = 0; i < kInByte; ++i)
    sums[i] = _mm512_dpbusd_epi32(sums[i], codes[i], _mm512_load_si512(x + i));
}

template <int kInByte, int kRows>
BITLOOP_AVX512_INLINE void sum_rows(const OrderedRow* rows, __m512i* totals) {
  const Places<kInByte> places;
  __m512i sums[kRows][kInByte];
  for (auto& row : sums)
    for (__m512i& sum : row) sum = _mm512_setzero_si512();
  int64_t count = rows[0].count, readable = rows[0].readable, x = 0, j = 0;
  for (int r = 1; r < kRows; ++r) {
    count = rows[r].count > count ? rows[r].count : count;
    readable = rows[r].readable < readable ? rows[r].readable : readable;
  }
  // Other rows' codes behind the end meet zeros. One row's end is the next one's beginning:
  // together they ask for all of the memory.
  for (; j < count && j + kStep <= readable; j += kStep, x += kInByte)
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* const bytes = rows[r].bytes + j;
      _mm_prefetch(reinterpret_cast<const char*>(bytes + kAheadBytes), _MM_HINT_T0);
      add_step(places, _mm512_loadu_si512(bytes), rows[r].x + x, sums[r]);
    }
  if (j < count)
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const int64_t left = rows[r].readable - j;
      const uint64_t mask = left >= kStep ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
      add_step(places, _mm512_maskz_loadu_epi8(mask, rows[r].bytes + j), rows[r].x + x, sums[r]);
    }
  for (int r = 0; r < kRows; ++r) totals[r] = places.sum(sums[r]);
}

// As many rows together as there are registers for.
template <int kInByte>
BITLOOP_AVX512 void dot_four(const OrderedRow* rows, int32_t* sums) {
  __m512i totals[kTogether];
  if constexpr (kInByte == 8) {
    sum_rows<kInByte, 2>(rows, totals);
    sum_rows<kInByte, 2>(rows + 2, totals + 2);
  } else {
    sum_rows<kInByte, 4>(rows, totals);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), sums_across(totals));
}

BITLOOP_AVX512_INLINE __m512 widened(const uint16_t* halves) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

}  // namespace

void avx512_dot_ordered(int in_byte, const OrderedRow* rows, int32_t* sums) {
  switch (in_byte) {
    case 2:
      return dot_four<2>(rows, sums);
    case 4:
      return dot_four<4>(rows, sums);
    case 5:
      return dot_four<5>(rows, sums);
    default:
      return dot_four<8>(rows, sums);
  }
}

BITLOOP_AVX512 void avx512_dot_four_halves(const uint16_t* weight, int64_t stride, const float* x,
                                           int64_t n, float* sums) {
  __m512 sum[kTogether][2];
  for (auto& row : sum) row[0] = row[1] = _mm512_setzero_ps();
  for (int64_t k = 0; k < n; k += kSums) {
    const __m512 a = _mm512_loadu_ps(x + k), b = _mm512_loadu_ps(x + k + 16);
#pragma GCC unroll 4
    for (int64_t r = 0; r < kTogether; ++r) {
      const uint16_t* const from = weight + r * stride + k;
      _mm_prefetch(reinterpret_cast<const char*>(from) + kAheadBytes, _MM_HINT_T0);
      sum[r][0] = _mm512_fmadd_ps(widened(from), a, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(widened(from + 16), b, sum[r][1]);
    }
  }
  for (int64_t r = 0; r < kTogether; ++r)
    for (int64_t h = 0; h < 2; ++h) _mm512_storeu_ps(sums + r * kSums + 16 * h, sum[r][h]);
}

}  // namespace bitloop::kernels
#endif
