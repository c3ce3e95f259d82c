// Float products of packed_products.h: values of a piece of a row, made where they are used.
#include <algorithm>

#include "trainer/kernels/packed_kernels.h"
#include "trainer/kernels/packed_products.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int kFewLevels = 16;  // fit into registers
static_assert(kPiece % kSums == 0);

// y[r, n] = x (rows, K) vᵀ for n in [begin, end) of N. read(n, k, count, room) returns where the
// values of row n from column k on stand, in `room` or elsewhere, `count` at most kPiece of them.
template <typename Read>
void multiply_values(int64_t N, int64_t K, const std::vector<float>& padded, int64_t rows,
                     int64_t begin, int64_t end, float* y, Instructions with, Read read) {
  const int64_t width = rounded_up(K, kSums);
  const PackedKernels& kernels = packed_kernels(with);
  alignas(64) float room[kPiece];
  alignas(64) float sums[kManyRows * kSums];
  for (int64_t first = 0; first < rows; first += kManyRows) {
    const int64_t many = std::min(kManyRows, rows - first);
    for (int64_t n = begin; n < end; ++n) {
      std::fill_n(sums, many * kSums, 0.0f);
      for (int64_t k = 0; k < K; k += kPiece) {
        const int64_t count = std::min(kPiece, K - k), whole = rounded_up(count, kSums);
        const float* values = read(n, k, count, room);
        if (whole > count) {
          if (values != room) std::copy_n(values, count, room);
          std::fill(room + count, room + whole, 0.0f);
          values = room;
        }
        for (int64_t r = 0; r < many; r += kFewRows)
          kernels.dot_floats(values, padded.data() + (first + r) * width + k, width, whole,
                             std::min(kFewRows, many - r), sums + r * kSums);
      }
      for (int64_t r = 0; r < many; ++r) y[(first + r) * N + n] = sum_of(sums + r * kSums);
    }
  }
}

// All parts of a product with N outputs, in all threads. part(begin, end).
template <typename Part>
void run_parts_of(int64_t N, int64_t some, const Part& part) {
  run_shares((N + some - 1) / some,
             [&](int64_t first, int64_t last) { part(first * some, std::min(N, last * some)); });
}

// A product that no later addition is fused with, whatever this file is compiled for: values are
// rounded twice wherever they are made.
float times(float a, float b) {
  float product = a * b;
#if defined(__x86_64__)
  asm volatile("" : "+x"(product));
#endif
  return product;
}

}  // namespace

// Values of codes under the numbers that stand at some place of the weight.
struct PackedFloats::Table {
  int64_t scale = -1, offset = -1, block = -1;  // whose they are
  float scaled_by = 0, offset_by = 0;
  alignas(64) float values[256] = {};
};

PackedFloats::PackedFloats(const PackedCodes& packed, PackedValues values)
    : packed_(packed), reader_(packed), values_(std::move(values)) {}

void PackedFloats::make_table(int64_t n, int64_t k, Table& table) const {
  const int64_t K = packed_.columns;
  if (values_.entries > 0) {
    const int64_t block = n * ((K + values_.block - 1) / values_.block) + k / values_.block;
    if (block == table.block) return;
    table.block = block;
    for (int64_t e = 0; e < values_.entries; ++e)
      table.values[e] = values_.codebook.at(block * values_.entries + e);
    return;
  }
  const bool has_offset = values_.offset.bytes != nullptr;
  const int64_t scale = values_.scale_of.index(n, k, K),
                offset = has_offset ? values_.offset_of.index(n, k, K) : 0;
  if (scale == table.scale && offset == table.offset) return;
  table.scale = scale;
  table.offset = offset;
  const float by = values_.scale.at(scale);
  for (size_t i = 0; i < values_.levels.size(); ++i) table.values[i] = times(values_.levels[i], by);
  if (!has_offset) return;
  const float plus = values_.offset.at(offset);
  for (size_t i = 0; i < values_.levels.size(); ++i) table.values[i] += plus;
}

void PackedFloats::read_values(int64_t n, int64_t first, int64_t count, Table& table,
                               uint8_t* codes, float* out, Instructions with) const {
  const PackedKernels& kernels = packed_kernels(with);
  const int64_t K = packed_.columns, last = first + count;
  const uint8_t* const read = reader_.read(n * K + first, count, codes, with);
  for (int64_t k = first; k < last;) {
    int64_t end = std::min(last, values_.scale_of.end(n, k, K));
    if (values_.offset.bytes != nullptr) end = std::min(end, values_.offset_of.end(n, k, K));
    if (values_.entries > 0) end = std::min(last, (k / values_.block + 1) * values_.block);
    const uint8_t* const from = read + (k - first);
    float* const to = out + (k - first);
    // A table of many levels is not worth making for fewer weights.
    const bool few = values_.entries > 0 || end - k >= std::ssize(values_.levels) ||
                     std::ssize(values_.levels) <= kFewLevels;
    if (few) {
      make_table(n, k, table);
      kernels.look_up(
          table.values,
          static_cast<int>(values_.entries > 0 ? values_.entries : std::ssize(values_.levels)),
          from, end - k, to);
    } else {
      const float by = values_.scale.at(values_.scale_of.index(n, k, K));
      for (int64_t i = 0; i < end - k; ++i) to[i] = times(values_.levels[from[i]], by);
      if (values_.offset.bytes != nullptr) {
        const float plus = values_.offset.at(values_.offset_of.index(n, k, K));
        for (int64_t i = 0; i < end - k; ++i) to[i] += plus;
      }
    }
    k = end;
  }
}

int64_t PackedFloats::part_rows() const {
  return rows_of_part(packed_.columns * packed_.bits / packed_.codes / 8 + 1);
}

std::span<const uint8_t> PackedFloats::bytes_of(int64_t begin, int64_t end) const {
  const auto at = [&](int64_t n) {
    return static_cast<size_t>(n * packed_.columns / packed_.codes * packed_.bits / 8);
  };
  return packed_.bytes.subspan(at(begin), at(end) - at(begin));
}

void PackedFloats::multiply_part(const std::vector<float>& padded, int64_t rows, int64_t begin,
                                 int64_t end, float* y, Instructions with) const {
  Table table;
  std::array<uint8_t, kPiece + CodeReader::kSlack> codes;
  multiply_values(packed_.rows, packed_.columns, padded, rows, begin, end, y, with,
                  [&](int64_t n, int64_t k, int64_t count, float* room) -> const float* {
                    read_values(n, k, count, table, codes.data(), room, with);
                    return room;
                  });
}

void PackedFloats::multiply(const float* x, int64_t rows, float* y, Instructions with) const {
  std::vector<float> padded;
  pad_floats(x, rows, packed_.columns, padded);
  run_parts_of(packed_.rows, part_rows(), [&](int64_t begin, int64_t end) {
    multiply_part(padded, rows, begin, end, y, with);
  });
}

void pad_floats(const float* x, int64_t rows, int64_t K, std::vector<float>& padded) {
  const int64_t width = rounded_up(K, kSums);
  padded.assign(static_cast<size_t>(rows * width), 0.0f);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(x + r * K, K, padded.data() + r * width);
}

int64_t part_rows(const FloatRows& weight) {
  return rows_of_part(weight.columns * (weight.bfloat16 ? 2 : 4));
}

void multiply_part(const FloatRows& weight, const std::vector<float>& padded, int64_t rows,
                   int64_t begin, int64_t end, float* y, Instructions with) {
  const int64_t K = weight.columns;
  const PackedKernels& kernels = packed_kernels(with);
  const auto* halves = static_cast<const uint16_t*>(weight.numbers);
  int64_t n = begin;
  if (weight.bfloat16 && rows == 1 && K % kSums == 0 && kernels.dot_four_halves != nullptr)
    for (; n + kTogether <= end; n += kTogether) {
      alignas(64) float sums[kTogether * kSums];
      kernels.dot_four_halves(halves + n * K, K, padded.data(), K, sums);
      for (int64_t i = 0; i < kTogether; ++i) y[n + i] = sum_of(sums + i * kSums);
    }
  multiply_values(weight.rows, K, padded, rows, n, end, y, with,
                  [&](int64_t row, int64_t k, int64_t count, float* room) -> const float* {
                    if (!weight.bfloat16)
                      return static_cast<const float*>(weight.numbers) + row * K + k;
                    kernels.widen(halves + row * K + k, count, room);
                    return room;
                  });
}

void multiply(const FloatRows& weight, const float* x, int64_t rows, float* y, Instructions with) {
  std::vector<float> padded;
  pad_floats(x, rows, weight.columns, padded);
  run_parts_of(weight.rows, part_rows(weight), [&](int64_t begin, int64_t end) {
    multiply_part(weight, padded, rows, begin, end, y, with);
  });
}

}  // namespace bitloop::kernels
