#include "trainer/kernels/packed_products.h"

#include <gtest/gtest.h>

#include "tests/trainer/kernels/packed_codes.h"

namespace bitloop::kernels {
namespace {

// b-bit levels, symmetric ones, and some that are not equally spaced.
std::vector<std::vector<int8_t>> integers_of(int levels) {
  std::vector<int8_t> spaced, odd;
  for (int i = 0; i < levels; ++i) spaced.push_back(static_cast<int8_t>(i - levels / 2));
  if (levels == 256) spaced.front() = -127;  // -128 is none; so these are not equally spaced
  if (levels > 100) return {spaced};
  for (int i = 0; i < levels; ++i)
    odd.push_back(static_cast<int8_t>(i == levels - 1 ? 127 : i - 127));
  std::vector<int8_t> wide;
  for (int i = 0; i < levels; ++i) wide.push_back(static_cast<int8_t>(2 * i - levels + 1));
  return {spaced, odd, wide};
}

std::vector<int32_t> plainly(const RandomCodes& codes, const std::vector<int8_t>& integers,
                             const std::vector<int8_t>& x, int64_t rows) {
  const int64_t N = codes.packed.rows, K = codes.packed.columns;
  std::vector<int32_t> sums;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t n = 0; n < N; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < K; ++k)
        sum += x[static_cast<size_t>(r * K + k)] *
               integers[codes.indices[static_cast<size_t>(n * K + k)]];
      sums.push_back(static_cast<int32_t>(sum));
    }
  return sums;
}

void expect_exact(int levels, int64_t N, int64_t K, int64_t rows, std::mt19937& random) {
  const RandomCodes codes(N, K, levels, random);
  std::vector<int8_t> x(static_cast<size_t>(rows * K));
  for (int8_t& number : x) number = static_cast<int8_t>(random() % 256 - 128);
  for (const std::vector<int8_t>& integers : integers_of(levels)) {
    const std::vector<int32_t> expected = plainly(codes, integers, x, rows);
    const PackedIntegers weight(codes.packed, integers);
    for (const Instructions with : instruction_sets()) {
      std::vector<int32_t> sums(expected.size(), 77);
      weight.multiply(x.data(), rows, sums.data(), with);
      ASSERT_EQ(sums, expected) << levels << " levels from " << int{integers[0]} << ", N " << N
                                << ", K " << K << ", " << rows << " rows, instructions "
                                << static_cast<int>(with);
    }
  }
}

TEST(PackedIntegers, SumsAreExactForEveryLayoutAndLength) {
  std::mt19937 random(5);
  for (const int levels : kSomeLevels)
    for (const int64_t K : {1, 4, 31, 64, 65, 128, 330, 1027})
      for (const int64_t rows : {1, 3, 5}) expect_exact(levels, 7, K, rows, random);
}

TEST(PackedIntegers, ManyRowsAndManyOutputs) {
  std::mt19937 random(6);
  for (const int levels : {2, 3, 5, 16})
    for (const int64_t rows : {1, 2, 4, 37, 70}) expect_exact(levels, 700, 192, rows, random);
}

TEST(PackedIntegers, PartsAreTheWhole) {
  std::mt19937 random(8);
  constexpr int64_t N = 23, K = 330;
  for (const int levels : {2, 3, 5, 16})
    for (const int64_t rows : {1, 2}) {
      const RandomCodes codes(N, K, levels, random);
      std::vector<int8_t> x(rows * K);
      for (int8_t& number : x) number = static_cast<int8_t>(random() % 256 - 128);
      const std::vector<int8_t> integers = integers_of(levels).front();
      const PackedIntegers weight(codes.packed, integers);
      PackedIntegers::Inputs inputs;
      weight.prepare(std::vector<int8_t>(K, 1).data(), 1, inputs);  // what was there before
      weight.prepare(x.data(), rows, inputs);
      std::vector<int32_t> sums(rows * N);
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{5, 14}, {0, 5}, {14, N}})
        weight.multiply_part(inputs, begin, end, sums.data());
      EXPECT_EQ(sums, plainly(codes, integers, x, rows)) << levels;
    }
}

TEST(PackedIntegers, TheLargestSumsDoNotSaturate) {
  std::mt19937 random(7);
  for (const int levels : {2, 3, 4, 16, 256}) {
    RandomCodes codes(5, 4096, levels, random);
    const auto packing = trainer::CodePacking::of(levels);
    std::ranges::fill(codes.indices, static_cast<uint16_t>(levels - 1));
    trainer::pack_codes(packing, codes.indices.data(), 5 * 4096, codes.bytes.data());
    std::vector<int8_t> integers;
    for (int i = 0; i < levels; ++i)
      integers.push_back(static_cast<int8_t>(i == levels - 1 ? 127 : i - 127));
    const std::vector<int8_t> x(4096, -128);
    for (const Instructions with : instruction_sets()) {
      std::vector<int32_t> sums(5);
      PackedIntegers(codes.packed, integers).multiply(x.data(), 1, sums.data(), with);
      EXPECT_EQ(sums, std::vector<int32_t>(5, -128 * 127 * 4096)) << levels;
    }
  }
}

}  // namespace
}  // namespace bitloop::kernels
