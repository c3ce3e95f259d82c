// Packed products with AVX2. Its product of unsigned and signed bytes saturates, so it is used only
// for codes of at most four bits, where it can't; other bytes are widened before they meet.
#include "trainer/kernels/packed_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define BITLOOP_AVX2 __attribute__((target("avx2,fma")))
#define BITLOOP_AVX2_INLINE BITLOOP_AVX2 inline __attribute__((always_inline))

namespace bitloop::kernels {
namespace {

constexpr int64_t kBytes = 32;

// How often `power`, shifted as `biased` bytes are, fits into each: 0, 1 or 2; that is taken off.
BITLOOP_AVX2_INLINE __m256i take_digit(__m256i& biased, int power) {
  const __m256i once = _mm256_cmpgt_epi8(biased, _mm256_set1_epi8(static_cast<char>(power - 129)));
  const __m256i twice =
      _mm256_cmpgt_epi8(biased, _mm256_set1_epi8(static_cast<char>(2 * power - 129)));
  const __m256i value = _mm256_set1_epi8(static_cast<char>(power));
  biased = _mm256_sub_epi8(biased, _mm256_and_si256(once, value));
  biased = _mm256_sub_epi8(biased, _mm256_and_si256(twice, value));
  return _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(once, twice));
}

template <int kInByte>
BITLOOP_AVX2_INLINE void split(__m256i bytes, __m256i* codes) {
  if constexpr (kInByte == 5) {
    const __m256i bias = _mm256_set1_epi8(static_cast<char>(128));
    __m256i biased = _mm256_xor_si256(bytes, bias);
    codes[4] = take_digit(biased, 81);
    codes[3] = take_digit(biased, 27);
    codes[2] = take_digit(biased, 9);
    codes[1] = take_digit(biased, 3);
    codes[0] = _mm256_xor_si256(biased, bias);
  } else {
    constexpr int kBits = 8 / kInByte;
    const __m256i mask = _mm256_set1_epi8((1 << kBits) - 1);
#pragma GCC unroll 8
    for (int i = 0; i < kInByte; ++i)
      codes[i] = _mm256_and_si256(_mm256_srli_epi16(bytes, i * kBits), mask);
  }
}

BITLOOP_AVX2_INLINE int32_t sum_across(__m256i sum) {
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return _mm_cvtsi128_si32(four);
}

// Zeros behind what is readable.
BITLOOP_AVX2_INLINE __m256i load_codes(const uint8_t* bytes, int64_t readable) {
  if (readable >= kBytes) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  alignas(32) uint8_t last[kBytes] = {};
  for (int64_t i = 0; i < readable; ++i) last[i] = bytes[i];
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(last));
}

// `inputs(j, i)`: where those stand that the i-th codes of the bytes from the j-th on meet.
template <int kInByte, typename InputsAt>
BITLOOP_AVX2_INLINE int32_t sum_row(const uint8_t* row, int64_t count, int64_t readable,
                                    InputsAt inputs) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum = _mm256_setzero_si256();
  for (int64_t j = 0; j < count; j += kBytes) {
    __m256i codes[kInByte];
    split<kInByte>(load_codes(row + j, readable - j), codes);
    // At most 8 products of 15 * 128 in 16 bits.
    __m256i sixteen = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < kInByte; ++i) {
      const auto* x = reinterpret_cast<const __m256i*>(inputs(j, i));
      sixteen = _mm256_add_epi16(sixteen, _mm256_maddubs_epi16(codes[i], _mm256_loadu_si256(x)));
    }
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(sixteen, ones));
  }
  return sum_across(sum);
}

template <int kInByte>
BITLOOP_AVX2 void dot_rows(const PackedRow& row, int64_t rows, int32_t* sums) {
  for (int64_t r = 0; r < rows; ++r)
    sums[r] = sum_row<kInByte>(row.bytes, row.count, row.readable, [&](int64_t j, int i) {
      return row.planes[i] + r * row.stride + j;
    });
}

void dot_packed(int in_byte, const PackedRow& row, int64_t rows, int32_t* sums) {
  switch (in_byte) {
    case 2:
      return dot_rows<2>(row, rows, sums);
    case 4:
      return dot_rows<4>(row, rows, sums);
    case 5:
      return dot_rows<5>(row, rows, sums);
    default:
      return dot_rows<8>(row, rows, sums);
  }
}

template <int kInByte>
BITLOOP_AVX2 void dot_each(const OrderedRow* rows, int32_t* sums) {
  for (int64_t r = 0; r < kTogether; ++r)
    sums[r] = sum_row<kInByte>(
        rows[r].bytes, rows[r].count, rows[r].readable,
        [&](int64_t j, int i) { return rows[r].x[j / kStep * kInByte + i].of + j % kStep; });
}

void dot_ordered(int in_byte, const OrderedRow* rows, int32_t* sums) {
  switch (in_byte) {
    case 2:
      return dot_each<2>(rows, sums);
    case 4:
      return dot_each<4>(rows, sums);
    case 5:
      return dot_each<5>(rows, sums);
    default:
      return dot_each<8>(rows, sums);
  }
}

BITLOOP_AVX2 void dot_bytes(const uint8_t* u, const int8_t* x, int64_t stride, int64_t n,
                            int64_t rows, int32_t* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t k = 0; k < n; k += 32)
      for (int h = 0; h < 2; ++h) {
        const __m256i a =
            _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(u + k + 16 * h)));
        const __m256i b = _mm256_cvtepi8_epi16(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + r * stride + k + 16 * h)));
        sum[h] = _mm256_add_epi32(sum[h], _mm256_madd_epi16(a, b));
      }
    sums[r] = sum_across(_mm256_add_epi32(sum[0], sum[1]));
  }
}

BITLOOP_AVX2 void dot_floats(const float* v, const float* x, int64_t stride, int64_t n,
                             int64_t rows, float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    __m256 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = _mm256_loadu_ps(sums + r * kSums + 8 * i);
    for (int64_t k = 0; k < n; k += kSums)
      for (int i = 0; i < 4; ++i)
        sum[i] = _mm256_fmadd_ps(_mm256_loadu_ps(v + k + 8 * i),
                                 _mm256_loadu_ps(x + r * stride + k + 8 * i), sum[i]);
    for (int i = 0; i < 4; ++i) _mm256_storeu_ps(sums + r * kSums + 8 * i, sum[i]);
  }
}

BITLOOP_AVX2 void look_up(const float* table, int levels, const uint8_t* codes, int64_t n,
                          float* out) {
  const __m256 first = _mm256_loadu_ps(table);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i index =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i)));
    _mm256_storeu_ps(out + i, levels <= 8 ? _mm256_permutevar8x32_ps(first, index)
                                          : _mm256_i32gather_ps(table, index, 4));
  }
  for (; i < n; ++i) out[i] = table[codes[i]];
}

BITLOOP_AVX2 void widen(const uint16_t* from, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i words =
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_slli_epi32(words, 16));
  }
  plain_kernels().widen(from + i, n - i, out + i);
}

}  // namespace

const PackedKernels& avx2_kernels() {
  static constexpr PackedKernels kernels = {dot_packed, dot_bytes, dot_floats,  look_up, widen,
                                            nullptr,    nullptr,   dot_ordered, nullptr};
  return kernels;
}

}  // namespace bitloop::kernels
#endif
