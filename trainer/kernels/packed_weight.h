// A weight as a packed file has it, for kernels of a device: what each pointer leads to is the
// device's memory. The arithmetic is PackedIntegers' and PackedFloats' (packed_products.h).
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// Which of some numbers belongs to weight (n, k): one for all, one a row, one for each `group`
// inputs of a row, or one for each `group` weights of the flattened matrix.
struct PlacedNumbers {
  enum Kind : int32_t { kOne, kRows, kGroups, kFlatGroups } kind = kOne;
  int64_t group = 1;
  const float* numbers = nullptr;  // null: there are none
};

// Codes as in code_reader.h: `codes` of them make a number in the base of `levels`, numbers of
// `bits` bits follow each other. Behind the bytes, which begin at a multiple of eight, sixteen more
// may be read.
struct PackedWeight {
  int64_t N = 0, K = 0;
  int32_t levels = 2, codes = 1, bits = 1;
  const uint8_t* bytes = nullptr;
  const int32_t* integers = nullptr;  // (levels): of each code; null: none
  const float* values = nullptr;      // (levels): of each code, before its scale
  PlacedNumbers scale, offset;
  // In place of values and scales: codebook[n, k / block, code].
  const float* codebook = nullptr;
  int64_t block = 1, entries = 0;
};

// y (R, N) = x ŵᵀ (+ bias) of few rows, where x is
//   codes (R, K) of int8 with a scale a row: sums are exact, then float(sum) * (x_scale * w_scale)
//   values (R, K): v = values[code] * scale (+ offset), each operation rounded to float32, and
//   sums in float32.
struct PackedProduct {
  PackedWeight weight;
  int64_t R = 0;
  const int8_t* codes = nullptr;  // or
  const float* x = nullptr;
  const float* x_scale = nullptr;  // of codes: (R), or one where its stride is 0
  int64_t x_stride = 0;
  const float* w_scale = nullptr;  // of integers: (N), or one where its stride is 0
  int64_t w_stride = 0;
  const float* bias = nullptr;  // (N) or null
  float* y = nullptr;
};

}  // namespace bitloop::kernels
