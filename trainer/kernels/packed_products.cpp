#include "trainer/kernels/packed_products.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "trainer/kernels/packed_kernels.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kItemBytes = 32 << 10;  // of a weight, that a thread takes at a time
constexpr int64_t kManyRows = 32;         // of x, that a row of the weight meets in one go

int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Rows of x (rows, n), each padded with zeros to a multiple of `step`.
template <typename T>
std::vector<T> padded_rows(const T* x, int64_t rows, int64_t n, int64_t step) {
  const int64_t width = rounded_up(n, step);
  std::vector<T> padded(static_cast<size_t>(rows * width));
  for (int64_t r = 0; r < rows; ++r) std::copy_n(x + r * n, n, padded.data() + r * width);
  return padded;
}

// body(n) for each row of a weight, in parallel; row_bytes: how much of the weight a row is.
template <typename MakeBody>
void for_rows(int64_t rows, int64_t row_bytes, const MakeBody& make_body) {
  const int64_t some = std::max<int64_t>(1, kItemBytes / std::max<int64_t>(1, row_bytes));
  run_items((rows + some - 1) / some, [&](int64_t item) {
    auto body = make_body();
    const int64_t end = std::min(rows, (item + 1) * some);
    for (int64_t n = item * some; n < end; ++n) body(n);
  });
}

int64_t bytes_of_row(const PackedCodes& packed) {
  return packed.columns * packed.bits / packed.codes / 8 + 1;
}

int32_t combine(int32_t low, int32_t step, int32_t x_sum, int32_t sum) {
  return static_cast<int32_t>(static_cast<uint32_t>(low) * static_cast<uint32_t>(x_sum) +
                              static_cast<uint32_t>(step) * static_cast<uint32_t>(sum));
}

std::vector<int32_t> sums_of_rows(const int8_t* x, int64_t rows, int64_t n) {
  std::vector<int32_t> sums(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < n; ++k) sums[static_cast<size_t>(r)] += x[r * n + k];
  return sums;
}

bool equally_spaced(std::span<const int8_t> integers) {
  for (size_t i = 2; i < integers.size(); ++i)
    if (integers[i] - integers[i - 1] != integers[1] - integers[0]) return false;
  return true;
}

// What the reader gives for codes of integers that are not equally spaced: how far each lies above
// the lowest.
std::vector<uint8_t> above_lowest(std::span<const int8_t> integers) {
  if (equally_spaced(integers)) return {};
  std::vector<uint8_t> above;
  const int8_t lowest = *std::ranges::min_element(integers);
  for (const int8_t integer : integers) above.push_back(static_cast<uint8_t>(integer - lowest));
  return above;
}

}  // namespace

float StoredNumbers::at(int64_t i) const {
  if (!half) {
    float number;
    std::memcpy(&number, bytes + 4 * i, sizeof number);
    return number;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes + 2 * i, sizeof bits);
  const auto size = std::bit_cast<float>(static_cast<uint32_t>(bits & 0x7fff) << 13) * 0x1p112f;
  return (bits & 0x8000) != 0 ? -size : size;  // a stored number is finite
}

int64_t Spread::index(int64_t n, int64_t k, int64_t columns) const {
  switch (kind) {
    case kOne:
      return 0;
    case kRows:
      return n;
    case kGroups:
      return n * ((columns + group - 1) / group) + k / group;
    case kFlatGroups:
      return (n * columns + k) / group;
  }
  return 0;
}

int64_t Spread::end(int64_t n, int64_t k, int64_t columns) const {
  if (kind == kGroups) return std::min(columns, (k / group + 1) * group);
  if (kind == kFlatGroups)
    return std::min(columns, ((n * columns + k) / group + 1) * group - n * columns);
  return columns;
}

PackedIntegers::PackedIntegers(const PackedCodes& packed, std::span<const int8_t> integers)
    : packed_(packed), reader_(packed, above_lowest(integers)) {
  const bool whole_bytes =
      packed.codes == 1 && (packed.bits == 1 || packed.bits == 2 || packed.bits == 4);
  const bool base_three = packed.levels == 3 && packed.codes == 5 && packed.bits == 8;
  if (equally_spaced(integers)) {
    low_ = integers[0];
    step_ = integers.size() > 1 ? integers[1] - integers[0] : 1;
    in_byte_ = whole_bytes ? 8 / packed.bits : base_three ? 5 : 0;
  } else {
    low_ = *std::ranges::min_element(integers);
  }
}

void PackedIntegers::multiply(const int8_t* x, int64_t rows, int32_t* sums,
                              Instructions with) const {
  if (in_byte_ > 0 && rows <= kFewRows)
    multiply_few(x, rows, sums, with);
  else
    multiply_rows(x, rows, sums, with);
}

// The i-th codes of all bytes meet every in_byte-th input: those stand together in a plane. Where a
// row begins within a byte, at its p-th code, plane i begins p inputs earlier, which is one of the
// other planes, perhaps shifted by one.
void PackedIntegers::multiply_few(const int8_t* x, int64_t rows, int32_t* sums,
                                  Instructions with) const {
  const int64_t N = packed_.rows, K = packed_.columns, M = in_byte_;
  const int64_t length = rounded_up(K / M + 2, kStep) + 2 * kStep;
  std::vector<int8_t> planes(static_cast<size_t>(rows * M * length));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < M; ++d) {
      int8_t* const plane = planes.data() + (r * M + d) * length + kStep;
      const int8_t* const from = x + r * K;
      for (int64_t j = 0, k = d; k < K; ++j, k += M) plane[j] = from[k];
    }
  const std::vector<int32_t> x_sums = sums_of_rows(x, rows, K);
  const PackedKernels& kernels = packed_kernels(with);
  const int64_t size = std::ssize(packed_.bytes);
  for_rows(N, bytes_of_row(packed_), [&] {
    return [&](int64_t n) {
      const int64_t first = n * K, begin = first / M, phase = first % M;
      PackedRow row{.bytes = packed_.bytes.data() + begin,
                    .count = (first + K + M - 1) / M - begin,
                    .readable = size - begin,
                    .planes = {},
                    .stride = M * length};
      for (int64_t i = 0; i < M; ++i)
        row.planes[i] = planes.data() + (i - phase + M) % M * length + kStep - (i < phase ? 1 : 0);
      int32_t some[kFewRows];
      kernels.dot_packed(in_byte_, row, rows, some);
      for (int64_t r = 0; r < rows; ++r)
        sums[r * N + n] = combine(low_, step_, x_sums[static_cast<size_t>(r)], some[r]);
    };
  });
}

void PackedIntegers::multiply_rows(const int8_t* x, int64_t rows, int32_t* sums,
                                   Instructions with) const {
  const int64_t N = packed_.rows, K = packed_.columns, width = rounded_up(K, kStep);
  const std::vector<int8_t> padded = padded_rows(x, rows, K, kStep);
  const std::vector<int32_t> x_sums = sums_of_rows(x, rows, K);
  const PackedKernels& kernels = packed_kernels(with);
  for (int64_t first = 0; first < rows; first += kManyRows) {
    const int64_t end = std::min(rows, first + kManyRows);
    for_rows(N, bytes_of_row(packed_), [&] {
      return [&, codes = std::vector<uint8_t>(static_cast<size_t>(width + CodeReader::kSlack))](
                 int64_t n) mutable {
        const uint8_t* const row = reader_.read(n * K, K, codes.data(), with);
        std::fill(codes.data() + (row - codes.data()) + K, codes.data() + codes.size(), uint8_t{0});
        for (int64_t r = first; r < end; r += kFewRows) {
          const int64_t few = std::min(kFewRows, end - r);
          int32_t some[kFewRows];
          kernels.dot_bytes(row, padded.data() + r * width, width, width, few, some);
          for (int64_t i = 0; i < few; ++i)
            sums[(r + i) * N + n] =
                combine(low_, step_, x_sums[static_cast<size_t>(r + i)], some[i]);
        }
      };
    });
  }
}

}  // namespace bitloop::kernels
