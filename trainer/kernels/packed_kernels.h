// The innermost loops of packed products, in plain C++ and for two instruction sets, with the same
// results. What they read is padded with zeros to whole steps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "trainer/kernels/packed_products.h"

namespace bitloop::kernels {

inline constexpr int64_t kStep = 64;  // bytes; rows of int8 are padded to this
inline constexpr int64_t kSums = 32;  // running sums of a float product
inline constexpr int64_t kUnpackSlack = 64;
inline constexpr int64_t kFewRows = 4;          // that a call of dot_bytes or dot_floats takes
inline constexpr int64_t kTogether = 4;         // rows of a weight that a call of dot_ordered takes
inline constexpr int64_t kAheadBytes = 16384;   // of a weight, that memory is asked for ahead
inline constexpr int64_t kManyRows = 32;        // of x, that a row of the weight meets in one go
inline constexpr int64_t kPartBytes = 8 << 10;  // of a weight, that a thread takes at a time

constexpr int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// How many rows of a weight a thread takes at a time.
constexpr int64_t rows_of_part(int64_t row_bytes) {
  return std::max(kTogether, kPartBytes / std::max<int64_t>(1, row_bytes) / kTogether * kTogether);
}

// Bytes of a row for which the sums of dot_ordered are exact.
inline constexpr int64_t kLongestRow = 1 << 20;

// One row of a weight of which each byte holds `in_byte` codes, from the byte with its first code
// on, against planes of x: in plane i stand the inputs that the bytes' i-th codes meet.
struct PackedRow {
  const uint8_t* bytes;
  int64_t count;            // bytes with codes of this row
  int64_t readable;         // bytes that may be read from there on
  const int8_t* planes[8];  // of the first row of x, padded to kStep
  int64_t stride;           // to the same plane of the next row of x
};

// The same for a single row of x: 64 bytes of each plane, one plane after the other, then the
// next 64.
struct OrderedRow {
  const uint8_t* bytes;
  int64_t count;     // bytes with codes of this row
  int64_t readable;  // bytes that may be read from there on
  const InputStep* x;
};

struct PackedKernels {
  // sums[r] = Σ code x for `rows` (1 … kFewRows) rows; in_byte is 2, 4, 5 or 8.
  void (*dot_packed)(int in_byte, const PackedRow& row, int64_t rows, int32_t* sums);
  // sums[r] = Σ u x over n bytes, n a multiple of kStep; rows of x are `stride` apart.
  void (*dot_bytes)(const uint8_t* u, const int8_t* x, int64_t stride, int64_t n, int64_t rows,
                    int32_t* sums);
  // sums (rows, kSums) += v x over n numbers, n a multiple of kSums.
  void (*dot_floats)(const float* v, const float* x, int64_t stride, int64_t n, int64_t rows,
                     float* sums);
  // out[i] = table[codes[i]], table 256 long, of which at most `levels` are asked for.
  void (*look_up)(const float* table, int levels, const uint8_t* codes, int64_t n, float* out);
  // out[i] = from[i], bfloat16.
  void (*widen)(const uint16_t* from, int64_t n, float* out);
  // Codes of `bits` bits (1 … 8), and base-three digits five in a byte, from a byte's beginning on:
  // at least `count` and at most kUnpackSlack more are written, of bytes behind `readable` zeros.
  // Null where tables are as good.
  void (*unpack_bits)(const uint8_t* from, int64_t readable, int bits, int64_t count, uint8_t* out);
  void (*unpack_base_three)(const uint8_t* from, int64_t readable, int64_t count, uint8_t* out);
  // sums[i] = Σ code x of kTogether rows of a weight, each at most kLongestRow bytes.
  void (*dot_ordered)(int in_byte, const OrderedRow* rows, int32_t* sums);
  // sums (kTogether, kSums) = w x over n numbers of bfloat16, n a multiple of kSums. Null where a
  // row at a time is as good.
  void (*dot_four_halves)(const uint16_t* weight, int64_t stride, const float* x, int64_t n,
                          float* sums);
};
const PackedKernels& packed_kernels(Instructions with);
const PackedKernels& plain_kernels();
#if defined(__x86_64__)
const PackedKernels& avx2_kernels();
const PackedKernels& avx512_kernels();
void avx512_dot_ordered(int in_byte, const OrderedRow* rows, int32_t* sums);
void avx512_dot_four_halves(const uint16_t* weight, int64_t stride, const float* x, int64_t n,
                            float* sums);
#endif

// The kSums running sums of a product as one number.
float sum_of(const float* sums);

}  // namespace bitloop::kernels
