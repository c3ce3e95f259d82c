// Codes: from the floats that a quantizer returned to declared levels and to integers, checked on
// the way.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bitloop::kernels {

inline constexpr float kSnap =
    1e-6f;  // a code this near to a level is that level (design section 3)

// Snaps each code to its level: snapped[i] = float(level). `levels` is sorted. Returns the index of
// the first code that is not within kSnap of a level (NaN included), or -1; on such a return
// `snapped` is unspecified. It must not be `codes`.
int64_t snap_to_levels(const float* codes, int64_t n, std::span<const double> levels,
                       float* snapped);

// out[i] = round(codes[i] * factor). Returns the index of the first product that is not within
// kSnap * factor of an integer in [low, high], or -1. The products must fit: -128 <= low, high <=
// 127.
int64_t pack_int8(const float* codes, int64_t n, float factor, int low, int high, int8_t* out);

// out[i] = codes[i], whole numbers that fit or NaN, in the calling thread: whether none was NaN.
bool convert_int8_run(const float* codes, int64_t n, int8_t* out);

// pack_int8 in the calling thread: whether every code is one. For callers that are threads of their
// own.
bool pack_int8_run(const float* codes, int64_t n, float factor, int low, int high, int8_t* out);

// As pack_int8 without output, for integers up to 16 bits: the first code that is not an integer in
// [low, high], or -1.
int64_t find_non_integer(const float* codes, int64_t n, float low, float high);

// In the calling thread, for levels that are all integers in int8's range when multiplied by one
// factor: out[i] = that integer of the level that codes[i] is within kSnap of, for at most
// kFewLevels levels and their integers. Whether every code was near one.
inline constexpr int64_t kFewLevels = 16;
bool pack_levels_run(const float* codes, int64_t n, std::span<const float> levels,
                     std::span<const int8_t> integers, int8_t* out);

// out[i] = from[i] as it is stored, rounded to float16 or unchanged: whether all are finite. In the
// calling thread. out may be `from`.
bool round_stored(const float* from, int64_t n, bool float16, float* out);

// The forward product's epilogue: y[r, c] = float(acc[r, c]) * x_scale[r] * w_scale[c] + bias[c].
// acc (R, N) int32; x_scale (R) or one number (x_stride 0), w_scale (N) or one number (w_stride 0);
// bias (N) or null.
void scale_products(const int32_t* acc, const float* x_scale, int64_t x_stride,
                    const float* w_scale, int64_t w_stride, const float* bias, int64_t rows,
                    int64_t cols, float* y);

// The same of n outputs of one row, in the calling thread.
void scale_product_part(const int32_t* acc, float x_scale, const float* w_scale, int64_t w_stride,
                        const float* bias, int64_t n, float* y);

// What the backward products read of dy (R, N): `by_row` = bfloat16(dy[r, c] * row[r * row_stride])
// for dL/dw and `by_column` = bfloat16(dy[r, c] * column[c * column_stride]) for dL/dx, rounded to
// nearest even, in one pass. A stride of 0 means one number for all. Either output may be null.
// bfloat16 is handed over as its upper 16 bits.
void scale_to_bfloat16(const float* dy, const float* row, int64_t row_stride, const float* column,
                       int64_t column_stride, int64_t rows, int64_t cols, uint16_t* by_row,
                       uint16_t* by_column);

// out[r, c] = bfloat16(code[r, c] * scale[r * stride]), in the calling thread. codes (rows, cols).
void codes_to_values_run(const int8_t* codes, const float* scale, int64_t stride, int64_t rows,
                         int64_t cols, uint16_t* out);

// Codes as bfloat16, which holds every int8 exactly.
void int8_to_bfloat16(const int8_t* codes, int64_t n, uint16_t* out);

}  // namespace bitloop::kernels
