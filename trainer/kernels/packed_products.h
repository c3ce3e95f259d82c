// Products of few rows with a weight that stays as it is packed: codes are read where they lie, a
// few at a time, and never unpacked as a whole. Legend: R rows of x, N output features, K input
// features.
//
// Two arithmetics, each with the same numbers on every instruction set, for any number of rows and
// threads, and whether the weight is packed or not:
//   integers   Σ x w of int8, exact in int32 (modulo 2^32, no saturation);
//   floats     32 running sums: x[k] v[k] is added to sum k mod 32 by fma, in order of k, where v
//   is
//              the weight's value in float32; then sum i += sum i + 16, + 8, + 4, + 2, + 1.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "trainer/kernels/code_reader.h"

namespace bitloop::kernels {

// Inputs that 64 bytes of codes meet.
struct alignas(64) InputStep {
  int8_t of[64];
};

// Codes that stand for integers in [-127, 127].
class PackedIntegers {
 public:
  PackedIntegers(const PackedCodes& packed, std::span<const int8_t> integers);

  // sums (R, N) = x (R, K) wᵀ, in all threads.
  void multiply(const int8_t* x, int64_t rows, int32_t* sums,
                Instructions with = best_instructions()) const;

  // The same in parts, for callers that are a team: what its threads read of x; then outputs
  // [begin, end) of each row, by any thread. Parts of part_rows()
  // go fastest.
  struct Inputs {
    int64_t rows = 0;
    enum { kRows, kPlanes, kOrdered } as = kRows;
    std::vector<int8_t> numbers;   // padded rows, or planes
    std::vector<InputStep> steps;  // planes of one row, in the order of reading
    std::vector<int32_t> sums;     // of each row
  };
  void prepare(const int8_t* x, int64_t rows, Inputs& inputs) const;
  void multiply_part(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                     Instructions with = best_instructions()) const;
  int64_t part_rows() const;

 private:
  template <int kInByte>
  void sort(const int8_t* x, int8_t* planes) const;
  void sort(const int8_t* x, Inputs& inputs) const;
  void order(Inputs& inputs) const;
  void multiply_one(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                    Instructions with) const;
  void multiply_few(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                    Instructions with) const;
  void multiply_rows(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                     Instructions with) const;
  int64_t plane_length() const;
  const int8_t* plane(const Inputs& inputs, int64_t phase, int64_t i) const;
  int64_t phases() const;
  int64_t steps_of_row() const;

  PackedCodes packed_;
  CodeReader reader_;
  // integer = low + step * what the reader gives
  int32_t low_ = 0, step_ = 1;
  int in_byte_ = 0;  // codes that a byte holds without a rest, in multiply_few; 0: it can't
};

// Numbers beside the codes, in the type that they are stored in; anywhere in memory.
struct StoredNumbers {
  const uint8_t* bytes = nullptr;  // null: there are none
  bool half = false;               // float16, else float32
  float at(int64_t i) const;       // exact
};

// Which of them belongs to weight (n, k).
struct Spread {
  enum Kind { kOne, kRows, kGroups, kFlatGroups } kind = kOne;
  int64_t group = 1;  // of kGroups (of a row's inputs) and kFlatGroups (of the flattened weight)

  int64_t index(int64_t n, int64_t k, int64_t columns) const;
  // Where the next one begins behind (n, k): at most `columns`.
  int64_t end(int64_t n, int64_t k, int64_t columns) const;
};

// What codes are worth: levels[code] * scale (+ offset), or codebook[n, k / block, code], each
// operation rounded to float32.
struct PackedValues {
  std::vector<float> levels;  // as many as there are codes; empty with a codebook
  StoredNumbers scale, offset, codebook;
  Spread scale_of, offset_of;
  int64_t block = 1, entries = 0;  // of the codebook
};

// Columns that are worked on at a time: values in the nearest cache.
inline constexpr int64_t kPiece = 512;

class PackedFloats {
 public:
  PackedFloats(const PackedCodes& packed, PackedValues values);

  // y (R, N) = x (R, K) vᵀ, in all threads.
  void multiply(const float* x, int64_t rows, float* y,
                Instructions with = best_instructions()) const;
  // Outputs [begin, end) of each row, in the calling thread. `padded`: pad_floats.
  void multiply_part(const std::vector<float>& padded, int64_t rows, int64_t begin, int64_t end,
                     float* y, Instructions with = best_instructions()) const;
  int64_t part_rows() const;
  // Where the codes of rows [begin, end) stand.
  std::span<const uint8_t> bytes_of(int64_t begin, int64_t end) const;

 private:
  struct Table;
  void make_table(int64_t n, int64_t k, Table& table) const;
  // Values of row n from column k on, at most kPiece of them.
  void read_values(int64_t n, int64_t k, int64_t count, Table& table, uint8_t* codes, float* out,
                   Instructions with) const;

  PackedCodes packed_;
  CodeReader reader_;
  PackedValues values_;
};

// A weight of floats as it lies in memory or in a file, in float32 or (its upper half) bfloat16.
struct FloatRows {
  int64_t rows = 0, columns = 0;
  const void* numbers = nullptr;  // aligned as its type
  bool bfloat16 = false;
};
void multiply(const FloatRows& weight, const float* x, int64_t rows, float* y,
              Instructions with = best_instructions());
void multiply_part(const FloatRows& weight, const std::vector<float>& padded, int64_t rows,
                   int64_t begin, int64_t end, float* y, Instructions with = best_instructions());
int64_t part_rows(const FloatRows& weight);

// Rows of x (rows, K) as parts of float products read them.
void pad_floats(const float* x, int64_t rows, int64_t K, std::vector<float>& padded);

}  // namespace bitloop::kernels
