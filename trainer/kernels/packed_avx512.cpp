// Packed products with AVX-512: 64 bytes of codes at a time, products of bytes by VNNI, base-three
// numbers taken apart by VBMI's tables.
#include "trainer/kernels/packed_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <array>

// GCC 12 takes what its own header leaves undefined on purpose for a mistake of ours.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define BITLOOP_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))

namespace bitloop::kernels {
namespace {

// Of each byte the first four base-three digits, two bits each.
struct alignas(64) Digits {
  uint8_t of[256];
};
constexpr Digits make_digits() {
  Digits digits{};
  for (int byte = 0; byte < 256; ++byte)
    digits.of[byte] =
        static_cast<uint8_t>(byte % 3 | byte / 3 % 3 << 2 | byte / 9 % 3 << 4 | byte / 27 % 3 << 6);
  return digits;
}
constexpr Digits kDigits = make_digits();

template <int kInByte>
struct Splitter;

template <>
struct Splitter<5> {
  __m512i tables[4];
  BITLOOP_AVX512 Splitter() {
    for (int i = 0; i < 4; ++i) tables[i] = _mm512_load_si512(kDigits.of + 64 * i);
  }
  // Two bits each; and the fifth, which is how often 81 fits.
  BITLOOP_AVX512 __attribute__((always_inline)) __m512i first_four(__m512i bytes,
                                                                   __m512i& fifth) const {
    const __m512i low = _mm512_permutex2var_epi8(tables[0], bytes, tables[1]);
    const __m512i high = _mm512_permutex2var_epi8(tables[2], bytes, tables[3]);
    const __m512i one = _mm512_set1_epi8(1);
    const __mmask64 once = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(81));
    const __mmask64 twice = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(162)));
    fifth = _mm512_maskz_mov_epi8(once, one);
    fifth = _mm512_mask_add_epi8(fifth, twice, fifth, one);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high);
  }
  BITLOOP_AVX512 __attribute__((always_inline)) void operator()(__m512i bytes,
                                                                __m512i* codes) const {
    const __m512i four = first_four(bytes, codes[4]);
    const __m512i three = _mm512_set1_epi8(3);
    codes[0] = _mm512_and_si512(four, three);
    codes[1] = _mm512_and_si512(_mm512_srli_epi16(four, 2), three);
    codes[2] = _mm512_and_si512(_mm512_srli_epi16(four, 4), three);
    codes[3] = _mm512_and_si512(_mm512_srli_epi16(four, 6), three);
  }
};

template <int kInByte>
struct Splitter {
  BITLOOP_AVX512 __attribute__((always_inline)) void operator()(__m512i bytes,
                                                                __m512i* codes) const {
    constexpr int kBits = 8 / kInByte;
    const __m512i mask = _mm512_set1_epi8((1 << kBits) - 1);
#pragma GCC unroll 8
    for (int i = 0; i < kInByte; ++i)
      codes[i] = _mm512_and_si512(_mm512_srli_epi16(bytes, i * kBits), mask);
  }
};

template <int kInByte, int kRows>
BITLOOP_AVX512 void dot_row(const PackedRow& row, int32_t* sums) {
  const Splitter<kInByte> split;
  // Chains of additions that don't wait for each other.
  constexpr int kChains = kRows == 1 ? kInByte : 2;
  __m512i sum[kRows][kChains];
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kChains; ++c) sum[r][c] = _mm512_setzero_si512();
  for (int64_t j = 0; j < row.count; j += kStep) {
    const int64_t left = row.readable - j;
    const __m512i bytes = left >= kStep
                              ? _mm512_loadu_si512(row.bytes + j)
                              : _mm512_maskz_loadu_epi8((uint64_t{1} << left) - 1, row.bytes + j);
    __m512i codes[kInByte];
    split(bytes, codes);
#pragma GCC unroll 8
    for (int i = 0; i < kInByte; ++i)
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sum[r][i % kChains] = _mm512_dpbusd_epi32(
            sum[r][i % kChains], codes[i], _mm512_loadu_si512(row.planes[i] + r * row.stride + j));
  }
  for (int r = 0; r < kRows; ++r) {
    __m512i all = sum[r][0];
    for (int c = 1; c < kChains; ++c) all = _mm512_add_epi32(all, sum[r][c]);
    sums[r] = _mm512_reduce_add_epi32(all);
  }
}

template <int kInByte>
void dot_rows(const PackedRow& row, int64_t rows, int32_t* sums) {
  switch (rows) {
    case 1:
      return dot_row<kInByte, 1>(row, sums);
    case 2:
      return dot_row<kInByte, 2>(row, sums);
    case 3:
      return dot_row<kInByte, 3>(row, sums);
    default:
      return dot_row<kInByte, 4>(row, sums);
  }
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

template <int kRows>
BITLOOP_AVX512 void dot_some_bytes(const uint8_t* u, const int8_t* x, int64_t stride, int64_t n,
                                   int32_t* sums) {
  __m512i sum[kRows][2];
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
  for (int64_t k = 0; k < n; k += 2 * kStep) {
    const __m512i a = _mm512_loadu_si512(u + k);
    for (int r = 0; r < kRows; ++r)
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], a, _mm512_loadu_si512(x + r * stride + k));
    if (k + kStep >= n) break;
    const __m512i b = _mm512_loadu_si512(u + k + kStep);
    for (int r = 0; r < kRows; ++r)
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], b, _mm512_loadu_si512(x + r * stride + k + kStep));
  }
  for (int r = 0; r < kRows; ++r)
    sums[r] = _mm512_reduce_add_epi32(_mm512_add_epi32(sum[r][0], sum[r][1]));
}

void dot_bytes(const uint8_t* u, const int8_t* x, int64_t stride, int64_t n, int64_t rows,
               int32_t* sums) {
  switch (rows) {
    case 1:
      return dot_some_bytes<1>(u, x, stride, n, sums);
    case 2:
      return dot_some_bytes<2>(u, x, stride, n, sums);
    case 3:
      return dot_some_bytes<3>(u, x, stride, n, sums);
    default:
      return dot_some_bytes<4>(u, x, stride, n, sums);
  }
}

template <int kRows>
BITLOOP_AVX512 void dot_some_floats(const float* v, const float* x, int64_t stride, int64_t n,
                                    float* sums) {
  __m512 sum[kRows][2];
  for (int r = 0; r < kRows; ++r)
    for (int h = 0; h < 2; ++h) sum[r][h] = _mm512_loadu_ps(sums + r * kSums + 16 * h);
  for (int64_t k = 0; k < n; k += kSums) {
    const __m512 a = _mm512_loadu_ps(v + k), b = _mm512_loadu_ps(v + k + 16);
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] = _mm512_fmadd_ps(a, _mm512_loadu_ps(x + r * stride + k), sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(b, _mm512_loadu_ps(x + r * stride + k + 16), sum[r][1]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int h = 0; h < 2; ++h) _mm512_storeu_ps(sums + r * kSums + 16 * h, sum[r][h]);
}

void dot_floats(const float* v, const float* x, int64_t stride, int64_t n, int64_t rows,
                float* sums) {
  switch (rows) {
    case 1:
      return dot_some_floats<1>(v, x, stride, n, sums);
    case 2:
      return dot_some_floats<2>(v, x, stride, n, sums);
    case 3:
      return dot_some_floats<3>(v, x, stride, n, sums);
    default:
      return dot_some_floats<4>(v, x, stride, n, sums);
  }
}

BITLOOP_AVX512 void look_up(const float* table, int levels, const uint8_t* codes, int64_t n,
                            float* out) {
  const __m512 first = _mm512_loadu_ps(table);
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t left = n - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    const __m512i index = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, codes + i));
    const __m512 values =
        levels <= 16 ? _mm512_permutexvar_ps(index, first) : _mm512_i32gather_ps(index, table, 4);
    _mm512_mask_storeu_ps(out + i, mask, values);
  }
}

BITLOOP_AVX512 void widen(const uint16_t* from, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t left = n - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + i));
    _mm512_mask_storeu_epi32(out + i, mask, _mm512_slli_epi32(words, 16));
  }
}

// For each of 64 codes, eight in a word of 64 bits: which bytes the word is made of, and where in
// it the code begins.
struct alignas(64) Places {
  uint8_t byte[64], bit[64];
};

// Codes of so many bits: eight of them are as many bytes.
constexpr std::array<Places, 9> make_bit_places() {
  std::array<Places, 9> all{};
  for (int bits = 1; bits <= 8; ++bits)
    for (int i = 0; i < 64; ++i) {
      all[bits].byte[i] = static_cast<uint8_t>(i / 8 * bits + (i % 8 < bits ? i % 8 : 0));
      all[bits].bit[i] = static_cast<uint8_t>(i % 8 * bits);
    }
  return all;
}
constexpr std::array<Places, 9> kBitPlaces = make_bit_places();

BITLOOP_AVX512 __attribute__((always_inline)) inline __m512i load_some(const uint8_t* from,
                                                                       int64_t readable) {
  if (readable >= kStep) return _mm512_loadu_si512(from);
  return readable > 0 ? _mm512_maskz_loadu_epi8((uint64_t{1} << readable) - 1, from)
                      : _mm512_setzero_si512();
}

BITLOOP_AVX512 void unpack_bits(const uint8_t* from, int64_t readable, int bits, int64_t count,
                                uint8_t* out) {
  const __m512i bytes = _mm512_load_si512(kBitPlaces[bits].byte),
                begins = _mm512_load_si512(kBitPlaces[bits].bit),
                mask = _mm512_set1_epi8(static_cast<char>((1 << bits) - 1));
  for (int64_t done = 0; done < count; done += 64, from += 8 * bits, readable -= 8 * bits) {
    const __m512i words = _mm512_permutexvar_epi8(bytes, load_some(from, readable));
    _mm512_storeu_si512(out + done,
                        _mm512_and_si512(_mm512_multishift_epi64_epi8(begins, words), mask));
  }
}

// Digits of 64 bytes, 320 of them in five parts. A byte becomes 16 bits, its first four digits with
// two bits each and the fifth: three such hold eight digits from wherever they begin. In `byte`
// numbers from 64 on are of the second vector, the fifth digits.
constexpr std::array<Places, 5> make_digit_places() {
  std::array<Places, 5> all{};
  for (int part = 0; part < 5; ++part)
    for (int i = 0; i < 64; ++i) {
      const int first = (64 * part + i / 8 * 8) / 5, digit = 64 * part + i, in_word = i % 8;
      const int byte = first + in_word / 2 < 64 ? first + in_word / 2 : 63;
      all[part].byte[i] = static_cast<uint8_t>(byte + (in_word % 2 != 0 ? 64 : 0));
      all[part].bit[i] = static_cast<uint8_t>(16 * (digit / 5 - first) + 2 * (digit % 5));
    }
  return all;
}
constexpr std::array<Places, 5> kDigitPlaces = make_digit_places();

BITLOOP_AVX512 void unpack_base_three(const uint8_t* from, int64_t readable, int64_t count,
                                      uint8_t* out) {
  const Splitter<5> split;
  const __m512i three = _mm512_set1_epi8(3);
  for (int64_t done = 0; done < count; from += 64, readable -= 64) {
    __m512i fifth;
    const __m512i four = split.first_four(load_some(from, readable), fifth);
    for (int part = 0; part < 5 && done < count; ++part, done += 64) {
      const __m512i words =
          _mm512_permutex2var_epi8(four, _mm512_load_si512(kDigitPlaces[part].byte), fifth);
      const __m512i digits =
          _mm512_multishift_epi64_epi8(_mm512_load_si512(kDigitPlaces[part].bit), words);
      _mm512_storeu_si512(out + done, _mm512_and_si512(digits, three));
    }
  }
}

}  // namespace

const PackedKernels& avx512_kernels() {
  static constexpr PackedKernels kernels = {dot_packed,
                                            dot_bytes,
                                            dot_floats,
                                            look_up,
                                            widen,
                                            unpack_bits,
                                            unpack_base_three,
                                            avx512_dot_ordered,
                                            avx512_dot_four_halves};
  return kernels;
}

}  // namespace bitloop::kernels
#endif
