#include "trainer/kernels/packing.h"

#include <cstring>

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/simd.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kBlock = 16;
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint32_t WordsInMemory __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t Word __attribute__((may_alias));

// Four rounds of pairwise exchange transpose 16 x 16 words: round k swaps the off-diagonal
// 2^k x 2^k blocks.
#define BITLOOP_EXCHANGE(step, low, high)            \
  for (int i = 0; i < 16; ++i)                       \
    if ((i & (step)) == 0) {                         \
      const Words a = v[i], b = v[i + (step)];       \
      v[i] = __builtin_shuffle(a, b, low);           \
      v[i + (step)] = __builtin_shuffle(a, b, high); \
    }

BITLOOP_SIMD void transpose_blocks(const uint32_t* from, int64_t rows, int64_t cols,
                                   int64_t from_stride, uint32_t* to, int64_t to_stride) {
  const Words low1 = {0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30},
              high1 = {1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31},
              low2 = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29},
              high2 = {2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31},
              low4 = {0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27},
              high4 = {4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31},
              low8 = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23},
              high8 = {8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31};
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
      BITLOOP_EXCHANGE(1, low1, high1)
      BITLOOP_EXCHANGE(2, low2, high2)
      BITLOOP_EXCHANGE(4, low4, high4)
      BITLOOP_EXCHANGE(8, low8, high8)
      for (int i = 0; i < 16; ++i)
        *reinterpret_cast<WordsInMemory*>(to + (c + i) * to_stride + r) = v[i];
    }
}

// Two rows at once: what pairs need anyway.
BITLOOP_SIMD void pack_two(const float* a, const float* b, int64_t n, const float* column, float sa,
                           float sb, uint16_t* column_a, uint16_t* column_b, uint32_t* pairs,
                           float* sums) {
  for (int64_t i = 0; i < n; ++i) {
    const float x = a[i], y = b[i], scale = column[i];
    sums[i] = sums[i] + x + y;
    pairs[i] = bfloat16_pair(x * sa, y * sb);
    const uint32_t both = bfloat16_pair(x * scale, y * scale);
    column_a[i] = static_cast<uint16_t>(both);
    column_b[i] = static_cast<uint16_t>(both >> 16);
  }
}

BITLOOP_SIMD void pack_two_unscaled(const float* a, const float* b, int64_t n, uint16_t* column_a,
                                    uint16_t* column_b, uint32_t* pairs, float* sums) {
  for (int64_t i = 0; i < n; ++i) {
    sums[i] = sums[i] + a[i] + b[i];
    const uint32_t both = bfloat16_pair(a[i], b[i]);
    pairs[i] = both;
    column_a[i] = static_cast<uint16_t>(both);
    column_b[i] = static_cast<uint16_t>(both >> 16);
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

BITLOOP_SIMD void round_to_bfloat16(const float* from, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_bfloat16(from[i]);
}

void pack_gradient_rows(const float* dy, int64_t rows, int64_t n, const GradientScales& scales,
                        uint16_t* columns, uint32_t* pairs, float* sums) {
  const auto row_scale = [&](int64_t r) {
    return scales.row != nullptr ? scales.row[r * scales.row_stride] : 1.0f;
  };
  for (int64_t r = 0; r + 1 < rows; r += 2) {
    const float *a = dy + r * n, *b = a + n;
    uint16_t *column_a = columns + r * n, *column_b = column_a + n;
    uint32_t* words = pairs + r / 2 * n;
    if (scales.column == nullptr && scales.row == nullptr) {
      pack_two_unscaled(a, b, n, column_a, column_b, words, sums);
    } else {
      pack_two(a, b, n, scales.column, row_scale(r), row_scale(r + 1), column_a, column_b, words,
               sums);
    }
  }
  if (rows % 2 == 0) return;
  const float* last = dy + (rows - 1) * n;
  for (int64_t i = 0; i < n; ++i) {
    sums[i] += last[i];
    pairs[rows / 2 * n + i] = to_bfloat16(last[i] * row_scale(rows - 1));
    columns[(rows - 1) * n + i] =
        to_bfloat16(last[i] * (scales.column != nullptr ? scales.column[i] : 1.0f));
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
