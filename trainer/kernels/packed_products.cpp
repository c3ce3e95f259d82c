#include "trainer/kernels/packed_products.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <numeric>

#include "trainer/kernels/packed_kernels.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

int64_t bytes_of_row(const PackedCodes& packed) {
  return packed.columns * packed.bits / packed.codes / 8 + 1;
}

int32_t combine(int32_t low, int32_t step, int32_t x_sum, int32_t sum) {
  return static_cast<int32_t>(static_cast<uint32_t>(low) * static_cast<uint32_t>(x_sum) +
                              static_cast<uint32_t>(step) * static_cast<uint32_t>(sum));
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

int64_t PackedIntegers::part_rows() const { return rows_of_part(bytes_of_row(packed_)); }

int64_t PackedIntegers::plane_length() const {
  return rounded_up(packed_.columns / in_byte_ + 2, kStep) + 2 * kStep;
}

// After so many rows one begins at the same place of a byte again.
int64_t PackedIntegers::phases() const { return in_byte_ / std::gcd(packed_.columns, in_byte_); }

int64_t PackedIntegers::steps_of_row() const {
  return in_byte_ * (rounded_up(packed_.columns / in_byte_ + 2, kStep) / kStep);
}

void PackedIntegers::multiply(const int8_t* x, int64_t rows, int32_t* sums,
                              Instructions with) const {
  Inputs inputs;
  prepare(x, rows, inputs);
  const int64_t N = packed_.rows, some = part_rows();
  run_shares((N + some - 1) / some, [&](int64_t first, int64_t last) {
    multiply_part(inputs, first * some, std::min(N, last * some), sums, with);
  });
}

void PackedIntegers::prepare(const int8_t* x, int64_t rows, Inputs& inputs) const {
  const int64_t K = packed_.columns;
  inputs.rows = rows;
  inputs.sums.assign(static_cast<size_t>(rows), 0);
  for (int64_t r = 0; r < rows; ++r)
    inputs.sums[static_cast<size_t>(r)] = std::accumulate(x + r * K, x + (r + 1) * K, int32_t{0});
  inputs.as = Inputs::kRows;
  if (in_byte_ > 0 && rows <= kFewRows) {
    inputs.as = Inputs::kPlanes;
    sort(x, inputs);
    if (rows == 1 && bytes_of_row(packed_) < kLongestRow) order(inputs);
    return;
  }
  const int64_t width = rounded_up(K, kStep);
  inputs.numbers.assign(static_cast<size_t>(rows * width), 0);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(x + r * K, K, inputs.numbers.data() + r * width);
}

// The i-th codes of all bytes meet every in_byte-th input: those stand together in a plane.
template <int kInByte>
void PackedIntegers::sort(const int8_t* x, int8_t* planes) const {
  const int64_t K = packed_.columns, length = plane_length(), whole = K / kInByte;
  std::memset(planes, 0, static_cast<size_t>(kInByte * length));
  int8_t* to = planes + kStep;
  for (int64_t j = 0; j < whole; ++j, ++to, x += kInByte)
#pragma GCC unroll 8
    for (int d = 0; d < kInByte; ++d) to[d * length] = x[d];
  for (int64_t d = 0; d < K % kInByte; ++d) to[d * length] = x[d];
}

void PackedIntegers::sort(const int8_t* x, Inputs& inputs) const {
  const int64_t row = in_byte_ * plane_length();
  inputs.numbers.resize(static_cast<size_t>(inputs.rows * row));
  for (int64_t r = 0; r < inputs.rows; ++r, x += packed_.columns) {
    int8_t* const planes = inputs.numbers.data() + r * row;
    switch (in_byte_) {
      case 2:
        sort<2>(x, planes);
        break;
      case 4:
        sort<4>(x, planes);
        break;
      case 5:
        sort<5>(x, planes);
        break;
      default:
        sort<8>(x, planes);
    }
  }
}

// Where a row begins within a byte, at its p-th code, plane i begins p inputs earlier, which is one
// of the other planes, perhaps shifted by one.
const int8_t* PackedIntegers::plane(const Inputs& inputs, int64_t phase, int64_t i) const {
  return inputs.numbers.data() + (i < phase ? i - phase + in_byte_ : i - phase) * plane_length() +
         kStep - (i < phase ? 1 : 0);
}

// A reader of many rows would ask for a place in each plane: a step needs one, and aligned.
void PackedIntegers::order(Inputs& inputs) const {
  const int64_t M = in_byte_, steps = steps_of_row();
  inputs.as = Inputs::kOrdered;
  inputs.steps.resize(static_cast<size_t>(phases() * steps));
  InputStep* to = inputs.steps.data();
  for (int64_t p = 0; p < phases(); ++p, to += steps)
    for (int64_t i = 0; i < M; ++i) {
      const int8_t* from = plane(inputs, p * packed_.columns % M, i);
      for (int64_t s = i; s < steps; s += M, from += kStep) std::memcpy(to + s, from, kStep);
    }
}

void PackedIntegers::multiply_part(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                                   Instructions with) const {
  switch (inputs.as) {
    case Inputs::kRows:
      return multiply_rows(inputs, begin, end, sums, with);
    case Inputs::kPlanes:
      return multiply_few(inputs, begin, end, sums, with);
    case Inputs::kOrdered:
      return multiply_one(inputs, begin, end, sums, with);
  }
}

void PackedIntegers::multiply_one(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                                  Instructions with) const {
  const int64_t K = packed_.columns, M = in_byte_, P = phases(), steps = steps_of_row();
  const PackedKernels& kernels = packed_kernels(with);
  // Where row n begins, without a division for each.
  int64_t byte = begin * K / M, phase = begin * K % M, p = begin % P;
  const int64_t bytes = K / M, codes = K % M, size = std::ssize(packed_.bytes);
  for (int64_t n = begin; n < end; n += kTogether) {
    OrderedRow rows[kTogether];
    for (int64_t i = 0; i < kTogether; ++i) {
      if (n + i >= end) {
        rows[i] = rows[0];
        continue;
      }
      int64_t next = byte + bytes, next_phase = phase + codes;
      if (next_phase >= M) {
        next_phase -= M;
        ++next;
      }
      rows[i] = {.bytes = packed_.bytes.data() + byte,
                 .count = next - byte + (next_phase > 0 ? 1 : 0),
                 .readable = size - byte,
                 .x = inputs.steps.data() + p * steps};
      byte = next;
      phase = next_phase;
      if (++p == P) p = 0;
    }
    int32_t some[kTogether];
    kernels.dot_ordered(in_byte_, rows, some);
    for (int64_t i = 0; i < std::min(kTogether, end - n); ++i)
      sums[n + i] = combine(low_, step_, inputs.sums[0], some[i]);
  }
}

void PackedIntegers::multiply_few(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                                  Instructions with) const {
  const int64_t N = packed_.rows, K = packed_.columns, M = in_byte_, length = plane_length();
  const PackedKernels& kernels = packed_kernels(with);
  const int64_t size = std::ssize(packed_.bytes);
  const auto row_of = [&](int64_t n) {
    const int64_t first = n * K, byte = first / M, phase = first % M;
    PackedRow row{.bytes = packed_.bytes.data() + byte,
                  .count = (first + K + M - 1) / M - byte,
                  .readable = size - byte,
                  .planes = {},
                  .stride = M * length};
    for (int64_t i = 0; i < M; ++i) row.planes[i] = plane(inputs, phase, i);
    return row;
  };
  for (int64_t n = begin; n < end; ++n) {
    int32_t some[kFewRows];
    kernels.dot_packed(in_byte_, row_of(n), inputs.rows, some);
    for (int64_t r = 0; r < inputs.rows; ++r)
      sums[r * N + n] = combine(low_, step_, inputs.sums[static_cast<size_t>(r)], some[r]);
  }
}

void PackedIntegers::multiply_rows(const Inputs& inputs, int64_t begin, int64_t end, int32_t* sums,
                                   Instructions with) const {
  const int64_t N = packed_.rows, K = packed_.columns, width = rounded_up(K, kStep);
  const PackedKernels& kernels = packed_kernels(with);
  std::vector<uint8_t> codes(static_cast<size_t>(width + CodeReader::kSlack));
  for (int64_t first = 0; first < inputs.rows; first += kManyRows) {
    const int64_t last = std::min(inputs.rows, first + kManyRows);
    for (int64_t n = begin; n < end; ++n) {
      const uint8_t* const row = reader_.read(n * K, K, codes.data(), with);
      std::fill(codes.data() + (row - codes.data()) + K, codes.data() + codes.size(), uint8_t{0});
      for (int64_t r = first; r < last; r += kFewRows) {
        const int64_t few = std::min(kFewRows, last - r);
        int32_t some[kFewRows];
        kernels.dot_bytes(row, inputs.numbers.data() + r * width, width, width, few, some);
        for (int64_t i = 0; i < few; ++i)
          sums[(r + i) * N + n] =
              combine(low_, step_, inputs.sums[static_cast<size_t>(r + i)], some[i]);
      }
    }
  }
}

}  // namespace bitloop::kernels
