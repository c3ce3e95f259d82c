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

// out (ceil(rows/2), n) words: rows 2p and 2p + 1 of `from` (rows, n) as bfloat16. A missing last
// row is zero. Rows of bfloat16 are `stride` apart.
void interleave_codes(const int8_t* from, int64_t rows, int64_t n, uint32_t* out);
void interleave_bfloat16(const uint16_t* from, int64_t rows, int64_t n, int64_t stride,
                         uint32_t* out);

// out (rows/4, n) words: rows 4p to 4p + 3 of `from` (rows, n) as bytes. rows is a multiple of 4.
void interleave_bytes(const int8_t* from, int64_t rows, int64_t n, uint32_t* out);

// out[i] = bfloat16(from[i]).
void round_to_bfloat16(const float* from, int64_t n, uint16_t* out);

// Rows of dL/dy (rows, n), with a factor in bfloat16 that they are still to be multiplied by,
// unless that is null.
struct GradientRows {
  GradientRows(const float* rows, const uint16_t* factor = nullptr) : dy(rows), slope(factor) {}
  const float* dy;
  const uint16_t* slope;
};

// At most kMostGradientRows of them in the layouts of both backward products, rounded to bfloat16:
//   columns (rows, n)            dy[r, c] * column[c]: left factor of dL/dx
//   transposed (n, 16) words     dy[r, c] * row[r * row_stride], rows 2p and 2p + 1 in word p, zero
//                                beyond `rows`; columns are `stride` words apart: left factor of
//                                dL/dw
// and sums[c] += dy[r, c], row by row. Scales that are null are 1. n is a multiple of 16.
struct GradientScales {
  const float* column = nullptr;
  const float* row = nullptr;
  int64_t row_stride = 0;
};
inline constexpr int64_t kMostGradientRows = 32;
void pack_gradient_rows(const GradientRows& from, int64_t rows, int64_t n,
                        const GradientScales& scales, uint16_t* columns, uint32_t* transposed,
                        int64_t stride, float* sums);

// Rows of dL/dy (rows, n), bfloat16, as codes + 128 in [1, 255] and a scale a row: the largest of a
// row has the code 127 (SwitchBack's quantisation, Wortsman et al. 2023, arXiv:2304.13013). A row
// with a number that is none has a scale that is none.
void quantize_gradient_rows(const uint16_t* rows_of_dy, int64_t rows, int64_t n, uint8_t* codes,
                            float* scale);
// to (rows, n) = (acc - shift[c]) * scale[r].
void finish_gradient_rows(const int32_t* acc, const int32_t* shift, const float* scale,
                          int64_t rows, int64_t n, float* to);

// out[i] = code[i] + 128: the unsigned left factor of an int8 product. What the shift adds to a
// product is 128 * (sum of the right factor's column), see sum_codes.
void shift_codes(const int8_t* codes, int64_t n, uint8_t* out);
// sums[c] = 128 * sum of column c of codes (rows, n).
void shifted_column_sums(const int8_t* codes, int64_t rows, int64_t n, int32_t* sums);
// sums[r] = 128 * sum of row r of codes (rows, n).
void shifted_sums(const int8_t* codes, int64_t rows, int64_t n, int32_t* sums);

// sums[c] += sum over rows of from (rows, n), row by row.
void add_rows(const float* from, int64_t rows, int64_t n, float* sums);

}  // namespace bitloop::kernels
