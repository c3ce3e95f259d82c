#include "trainer/kernels/packing.h"

#include <bit>
#include <cstring>

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/simd.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kBlock = 16;
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint32_t WordsInMemory __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t Word __attribute__((may_alias));

__attribute__((always_inline)) inline void exchange(Words* v, int step, const Words& low,
                                                    const Words& high) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if ((i & step) != 0) continue;
    const Words a = v[i], b = v[i + step];
    v[i] = __builtin_shuffle(a, b, low);
    v[i + step] = __builtin_shuffle(a, b, high);
  }
}

// 16 x 16 words, transposed by four rounds of pairwise exchange: round k swaps the off-diagonal
// 2^k x 2^k blocks.
__attribute__((always_inline)) inline void transpose_16(Words* v) {
  exchange(v, 1, Words{0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30},
           Words{1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31});
  exchange(v, 2, Words{0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29},
           Words{2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31});
  exchange(v, 4, Words{0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27},
           Words{4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31});
  exchange(v, 8, Words{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23},
           Words{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31});
}

// Row r's 16 columns from c on; zeros where there is no such row.
__attribute__((always_inline)) inline void load_gradient(const GradientRows& from, int64_t r,
                                                         int64_t rows, int64_t n, int64_t c,
                                                         Lanes& dy) {
  if (r >= rows) {
    dy = Lanes{};
    return;
  }
  dy = *reinterpret_cast<const LanesInMemory*>(from.dy + r * n + c);
  if (from.slope == nullptr) return;
  Lanes slope;
  load_bfloat16(from.slope + r * n + c, slope);
  dy *= slope;
}

BITLOOP_SIMD void transpose_blocks(const uint32_t* from, int64_t rows, int64_t cols,
                                   int64_t from_stride, uint32_t* to, int64_t to_stride) {
  for (int64_t r = 0; r < rows; r += kBlock)
    for (int64_t c = 0; c < cols; c += kBlock) {
      const int64_t height = rows - r < kBlock ? rows - r : kBlock,
                    width = cols - c < kBlock ? cols - c : kBlock;
      if (height < kBlock || width < kBlock) {
        for (int64_t i = 0; i < height; ++i)
          for (int64_t j = 0; j < width; ++j)
            reinterpret_cast<Word*>(to)[(c + j) * to_stride + r + i] =
                reinterpret_cast<const Word*>(from)[(r + i) * from_stride + c + j];
        continue;
      }
      Words v[16];
      for (int i = 0; i < 16; ++i)
        v[i] = *reinterpret_cast<const WordsInMemory*>(from + (r + i) * from_stride + c);
      transpose_16(v);
      for (int i = 0; i < 16; ++i)
        *reinterpret_cast<WordsInMemory*>(to + (c + i) * to_stride + r) = v[i];
    }
}

__attribute__((always_inline)) inline uint32_t code_bits(int8_t code) {
  return std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(code)));
}

BITLOOP_SIMD void interleave_pairs(const int8_t* from, int64_t pairs, int64_t n, uint32_t* out) {
  for (int64_t p = 0; p < pairs; ++p) {
    const int8_t *a = from + 2 * p * n, *b = a + n;
    uint32_t* to = out + p * n;
    for (int64_t i = 0; i < n; ++i) to[i] = code_bits(a[i]) >> 16 | (code_bits(b[i]) & 0xffff0000u);
  }
}

BITLOOP_SIMD void interleave_pairs(const uint16_t* from, int64_t pairs, int64_t n, int64_t stride,
                                   uint32_t* out) {
  for (int64_t p = 0; p < pairs; ++p) {
    const uint16_t *a = from + 2 * p * stride, *b = a + stride;
    uint32_t* to = out + p * n;
    for (int64_t i = 0; i < n; ++i)
      to[i] = static_cast<uint32_t>(a[i]) | static_cast<uint32_t>(b[i]) << 16;
  }
}

}  // namespace

void transpose_words(const void* from, int64_t rows, int64_t cols, int64_t from_stride, void* to,
                     int64_t to_stride) {
  transpose_blocks(static_cast<const uint32_t*>(from), rows, cols, from_stride,
                   static_cast<uint32_t*>(to), to_stride);
}

void interleave_codes(const int8_t* from, int64_t rows, int64_t n, uint32_t* out) {
  interleave_pairs(from, rows / 2, n, out);
  if (rows % 2 != 0)
    for (int64_t i = 0; i < n; ++i)
      out[rows / 2 * n + i] = code_bits(from[(rows - 1) * n + i]) >> 16;
}

void interleave_bfloat16(const uint16_t* from, int64_t rows, int64_t n, int64_t stride,
                         uint32_t* out) {
  interleave_pairs(from, rows / 2, n, stride, out);
  if (rows % 2 != 0)
    for (int64_t i = 0; i < n; ++i) out[rows / 2 * n + i] = from[(rows - 1) * stride + i];
}

BITLOOP_SIMD void interleave_bytes(const int8_t* from, int64_t rows, int64_t n, uint32_t* out) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(from);
  for (int64_t p = 0; p < rows / 4; ++p) {
    const uint8_t *a = bytes + 4 * p * n, *b = a + n, *c = b + n, *d = c + n;
    uint32_t* to = out + p * n;
    for (int64_t i = 0; i < n; ++i)
      to[i] = static_cast<uint32_t>(a[i]) | static_cast<uint32_t>(b[i]) << 8 |
              static_cast<uint32_t>(c[i]) << 16 | static_cast<uint32_t>(d[i]) << 24;
  }
}

BITLOOP_SIMD void quantize_gradient_rows(const uint16_t* rows_of_dy, int64_t rows, int64_t n,
                                         uint8_t* codes, float* scale) {
  constexpr float kMost = 127.0f;
  constexpr uint32_t kInfinity = 0x7f800000u;
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* from = rows_of_dy + r * n;
    // The bits of numbers without their sign are in the numbers' order, those that are none last.
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t bits = from[i] & 0x7fffu;
      largest = bits > largest ? bits : largest;
    }
    const float most = std::bit_cast<float>(largest << 16);
    const bool finite = largest << 16 < kInfinity;
    const float inverse = finite && most > 0.0f ? kMost / most : 0.0f;
    // Of tiny rows the inverse is infinite: they count as zeros, which they nearly are.
    const float factor = std::bit_cast<uint32_t>(inverse) < kInfinity ? inverse : 0.0f;
    for (int64_t i = 0; i < n; ++i) {
      const float dy = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
      const float code = __builtin_rintf(finite ? dy * factor : 0.0f);
      codes[r * n + i] = static_cast<uint8_t>(static_cast<int32_t>(code) + 128);
    }
    scale[r] = finite ? most / kMost : std::bit_cast<float>(0x7fc00000u);
  }
}

BITLOOP_SIMD void finish_gradient_rows(const int32_t* acc, const int32_t* shift, const float* scale,
                                       int64_t rows, int64_t n, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < n; ++c)
      to[r * n + c] = static_cast<float>(acc[r * n + c] - shift[c]) * scale[r];
}

BITLOOP_SIMD void shifted_column_sums(const int8_t* codes, int64_t rows, int64_t n, int32_t* sums) {
  for (int64_t c = 0; c < n; ++c) sums[c] = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < n; ++c) sums[c] += 128 * codes[r * n + c];
}

BITLOOP_SIMD void round_to_bfloat16(const float* from, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_bfloat16(from[i]);
}

// Strips of 16 columns and all rows: what a strip becomes stays in registers until it is
// transposed.
BITLOOP_SIMD void pack_gradient_rows(const GradientRows& from, int64_t rows, int64_t n,
                                     const GradientScales& scales, uint16_t* columns,
                                     uint32_t* transposed, int64_t stride, float* sums) {
  for (int64_t c = 0; c < n; c += kLanes) {
    const Lanes by_column = scales.column != nullptr
                                ? *reinterpret_cast<const LanesInMemory*>(scales.column + c)
                                : Lanes{} + 1.0f;
    Lanes sum = *reinterpret_cast<const LanesInMemory*>(sums + c);
    Words v[kMostGradientRows / 2];
    for (int64_t p = 0; p < kMostGradientRows / 2; ++p) {
      const int64_t r = 2 * p;
      Lanes a, b;
      load_gradient(from, r, rows, n, c, a);
      load_gradient(from, r + 1, rows, n, c, b);
      sum += a;
      sum += b;
      const float row_a = scales.row != nullptr && r < rows ? scales.row[r * scales.row_stride] : 1,
                  row_b = scales.row != nullptr && r + 1 < rows
                              ? scales.row[(r + 1) * scales.row_stride]
                              : 1;
      pair_lanes(a * row_a, b * row_b, v[p]);
      WordLanes both;
      pair_lanes(a * by_column, b * by_column, both);
      if (r < rows) store_low_halves(both, columns + r * n + c);
      if (r + 1 < rows) store_low_halves(both >> 16, columns + (r + 1) * n + c);
    }
    *reinterpret_cast<LanesInMemory*>(sums + c) = sum;
    transpose_16(v);
    for (int64_t i = 0; i < kLanes; ++i)
      *reinterpret_cast<WordsInMemory*>(transposed + (c + i) * stride) = v[i];
  }
}

BITLOOP_SIMD void shift_codes(const int8_t* codes, int64_t n, uint8_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<uint8_t>(codes[i]) ^ 0x80u;
}

BITLOOP_SIMD void shifted_sums(const int8_t* codes, int64_t rows, int64_t n, int32_t* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += codes[r * n + i];
    sums[r] = 128 * sum;
  }
}

BITLOOP_SIMD void add_rows(const float* from, int64_t rows, int64_t n, float* sums) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < n; ++c) sums[c] += from[r * n + c];
}

}  // namespace bitloop::kernels
