// The layouts that low-precision products read. A product's right factor holds its rows in words of
// 32 bits: two bfloat16 rows, or four int8 rows, side by side for each column ("interleaved").
// All functions here run in the calling thread.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// to (cols, rows) = from (rows, cols) transposed, in words; rows are from_stride and to_stride
// words apart. An (N, K) matrix of int8 (bfloat16) seen as (N, K/4) ((N, K/2)) words becomes the
// interleaved right factor Wᵀ.
void transpose_words(const void* from, int64_t rows, int64_t cols, int64_t from_stride, void* to,
                     int64_t to_stride);

// out (ceil(rows/2), n) words: bfloat16 of rows 2p and 2p + 1 of `from` (rows, n), each times its
// scale[r * scale_stride] (null: 1). A missing last row is zero.
void interleave_floats(const float* from, int64_t rows, int64_t n, const float* scale,
                       int64_t scale_stride, uint32_t* out);
// The same of int8 codes and of bfloat16 values, unscaled.
void interleave_codes(const int8_t* from, int64_t rows, int64_t n, uint32_t* out);
void interleave_bfloat16(const uint16_t* from, int64_t rows, int64_t n, uint32_t* out);

// out[i] = bfloat16(from[i]); with `column`: bfloat16(from[r, c] * column[c]) for (rows, n).
void round_to_bfloat16(const float* from, int64_t n, uint16_t* out);
void round_columns_to_bfloat16(const float* from, int64_t rows, int64_t n, const float* column,
                               uint16_t* out);

// out[i] = code[i] + 128: the unsigned left factor of an int8 product. What the shift adds to a
// product is 128 * (sum of the right factor's column), see sum_codes.
void shift_codes(const int8_t* codes, int64_t n, uint8_t* out);
// sums[r] = 128 * sum of row r of codes (rows, n).
void shifted_sums(const int8_t* codes, int64_t rows, int64_t n, int32_t* sums);

// sums[c] += sum over rows of from (rows, n), row by row.
void add_rows(const float* from, int64_t rows, int64_t n, float* sums);

}  // namespace bitloop::kernels
