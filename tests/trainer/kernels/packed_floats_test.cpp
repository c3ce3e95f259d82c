// Values and sums bit by bit as packed_products.h says they are, against loops that know neither
// tables nor pieces.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "tests/trainer/kernels/packed_codes.h"

namespace bitloop::kernels {
namespace {

// Numbers as they are stored: what they are, and their bytes at an odd address.
struct Stored {
  Stored(int64_t count, bool is_half, std::mt19937& random) : half(is_half) {
    std::uniform_real_distribution<float> draw(-2.0f, 2.0f);
    bytes.push_back(0);
    for (int64_t i = 0; i < count; ++i) {
      const float number =
          i == 1 ? 3e-7f : draw(random);  // in float16 a number without its exponent
      const auto narrow = static_cast<_Float16>(number);
      numbers.push_back(half ? static_cast<float>(narrow) : number);
      const auto* from = half ? reinterpret_cast<const uint8_t*>(&narrow)
                              : reinterpret_cast<const uint8_t*>(&number);
      bytes.insert(bytes.end(), from, from + (half ? 2 : 4));
    }
  }
  StoredNumbers view() const { return {bytes.data() + 1, half}; }

  bool half;
  std::vector<float> numbers;
  std::vector<uint8_t> bytes;
};

float plain_product(const float* x, const std::vector<float>& v) {
  float sums[32] = {};
  for (size_t k = 0; k < v.size(); ++k) sums[k % 32] = std::fma(x[k], v[k], sums[k % 32]);
  for (int half = 16; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  return sums[0];
}

int64_t index_of(const Spread& spread, int64_t n, int64_t k, int64_t K) {
  switch (spread.kind) {
    case Spread::kOne:
      return 0;
    case Spread::kRows:
      return n;
    case Spread::kGroups:
      return n * ((K + spread.group - 1) / spread.group) + k / spread.group;
    default:
      return (n * K + k) / spread.group;
  }
}

std::vector<float> random_floats(int64_t count, std::mt19937& random) {
  std::normal_distribution<float> draw;
  std::vector<float> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(draw(random));
  return numbers;
}

class PackedFloatsTest : public testing::Test {
 protected:
  // `value(n, k)` of the weight, against what the products of it give.
  template <typename Value>
  void expect_products(const PackedCodes& packed, const PackedValues& values, int64_t rows,
                       const Value& value, const std::string& what) {
    const int64_t N = packed.rows, K = packed.columns;
    const std::vector<float> x = random_floats(rows * K, random);
    std::vector<float> expected(static_cast<size_t>(rows * N));
    for (int64_t n = 0; n < N; ++n) {
      std::vector<float> v;
      for (int64_t k = 0; k < K; ++k) v.push_back(value(n, k));
      for (int64_t r = 0; r < rows; ++r)
        expected[static_cast<size_t>(r * N + n)] = plain_product(x.data() + r * K, v);
    }
    const PackedFloats weight(packed, values);
    for (const Instructions with : instruction_sets()) {
      std::vector<float> y(expected.size(), 7.0f);
      weight.multiply(x.data(), rows, y.data(), with);
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), 4 * y.size()), 0)
          << what << ", " << rows << " rows, instructions " << static_cast<int>(with);
    }
  }

  std::mt19937 random{9};
};

TEST_F(PackedFloatsTest, ScalesAndOffsetsOfEveryShape) {
  for (const int levels : {2, 3, 5, 8, 16, 17, 256})
    for (const int64_t K : {33, 130, 1100})
      for (const Spread& spread :
           {Spread{Spread::kOne}, Spread{Spread::kRows}, Spread{Spread::kGroups, 64},
            Spread{Spread::kGroups, 48}, Spread{Spread::kFlatGroups, 128},
            Spread{Spread::kFlatGroups, 5}})
        for (const bool half : {false, true})
          for (const bool with_offset : {false, true}) {
            const int64_t N = 5;
            const RandomCodes codes(N, K, levels, random);
            const Stored scale(index_of(spread, N - 1, K - 1, K) + 1, half, random),
                offset(N, !half, random);
            PackedValues values;
            values.scale = scale.view();
            values.scale_of = spread;
            for (int i = 0; i < levels; ++i)
              values.levels.push_back(static_cast<float>(i) / 3.0f - 1.0f);
            if (with_offset) {
              values.offset = offset.view();
              values.offset_of = {Spread::kRows};
            }
            expect_products(
                codes.packed, values, with_offset ? 3 : 1,
                [&](int64_t n, int64_t k) {
                  volatile float value =
                      values.levels[codes.indices[static_cast<size_t>(n * K + k)]] *
                      scale.numbers[static_cast<size_t>(index_of(spread, n, k, K))];
                  if (with_offset) value = value + offset.numbers[static_cast<size_t>(n)];
                  return value;
                },
                std::to_string(levels) + " levels, K " + std::to_string(K) + ", spread " +
                    std::to_string(spread.kind));
          }
}

TEST_F(PackedFloatsTest, CodebooksOfEveryWidth) {
  for (const int entries : {2, 3, 8, 16, 19, 256})
    for (const int64_t K : {32, 100, 640})
      for (const int64_t rows : {1, 6}) {
        const int64_t N = 4, block = 24, blocks = (K + block - 1) / block;
        const RandomCodes codes(N, K, entries, random);
        const Stored codebook(N * blocks * entries, true, random);
        PackedValues values;
        values.codebook = codebook.view();
        values.block = block;
        values.entries = entries;
        expect_products(
            codes.packed, values, rows,
            [&](int64_t n, int64_t k) {
              return codebook
                  .numbers[static_cast<size_t>((n * blocks + k / block) * entries +
                                               codes.indices[static_cast<size_t>(n * K + k)])];
            },
            std::to_string(entries) + " entries, K " + std::to_string(K));
      }
}

TEST_F(PackedFloatsTest, FloatsWhereTheyLie) {
  for (const int64_t K : {1, 31, 32, 512, 1000, 1537})
    for (const int64_t rows : {1, 2, 7, 40})
      for (const bool narrow : {false, true}) {
        const int64_t N = 9;
        std::vector<float> w = random_floats(N * K, random), x = random_floats(rows * K, random);
        std::vector<uint16_t> halves;
        for (float& number : w) {
          const uint32_t bits = std::bit_cast<uint32_t>(number) & 0xffff0000u;
          halves.push_back(static_cast<uint16_t>(bits >> 16));
          if (narrow) number = std::bit_cast<float>(bits);
        }
        const FloatRows weight{N, K, narrow ? static_cast<const void*>(halves.data()) : w.data(),
                               narrow};
        for (const Instructions with : instruction_sets()) {
          std::vector<float> y(static_cast<size_t>(rows * N));
          multiply(weight, x.data(), rows, y.data(), with);
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t n = 0; n < N; ++n) {
              const std::vector<float> v(w.begin() + n * K, w.begin() + (n + 1) * K);
              ASSERT_EQ(y[static_cast<size_t>(r * N + n)], plain_product(x.data() + r * K, v))
                  << "K " << K << ", " << rows << " rows";
            }
        }
      }
}

}  // namespace
}  // namespace bitloop::kernels
