#include "trainer/kernels/packing.h"

#include <c10/util/BFloat16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/kernels/bfloat16.h"

namespace bitloop::kernels {
namespace {

uint32_t half(float value) { return c10::BFloat16(value).x; }  // LibTorch's rounding

std::vector<float> numbers(int64_t n) {
  std::vector<float> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = std::ldexp(std::sin(static_cast<float>(i) * 1.3f), static_cast<int>(i % 21) - 10);
  return out;
}

std::vector<int8_t> all_codes(int64_t n) {
  std::vector<int8_t> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int8_t>(i * 37 % 256);
  return out;
}

TEST(TransposeWords, EveryElementAtOddSizesAndStrides) {
  for (const int64_t rows : {1, 15, 16, 17, 40})
    for (const int64_t cols : {1, 3, 16, 33}) {
      const int64_t from_stride = cols + 3, to_stride = rows + 5;
      std::vector<uint32_t> from(static_cast<size_t>(rows * from_stride)),
          to(static_cast<size_t>(cols * to_stride), 7u);
      for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint32_t>(i * 2654435761u);
      transpose_words(from.data(), rows, cols, from_stride, to.data(), to_stride);
      for (int64_t c = 0; c < cols; ++c)
        for (int64_t r = 0; r < to_stride; ++r)
          ASSERT_EQ(to[static_cast<size_t>(c * to_stride + r)],
                    r < rows ? from[static_cast<size_t>(r * from_stride + c)] : 7u)
              << rows << "x" << cols << " at " << r << ", " << c;
    }
}

TEST(Interleave, PairsOfRowsAndAHalfEmptyLastOne) {
  for (const int64_t rows : {1, 2, 5, 8})
    for (const int64_t n : {1, 16, 37}) {
      const std::vector<float> from = numbers(rows * n);
      const std::vector<int8_t> codes = all_codes(rows * n);
      std::vector<uint16_t> values(from.size());
      round_to_bfloat16(from.data(), rows * n, values.data());
      const auto size = static_cast<size_t>((rows + 1) / 2 * n);
      std::vector<uint32_t> of_codes(size), of_values(size), of_apart(size);
      interleave_codes(codes.data(), rows, n, of_codes.data());
      interleave_bfloat16(values.data(), rows, n, n, of_values.data());
      std::vector<uint16_t> apart(static_cast<size_t>(rows * (n + 3)));
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(values.data() + r * n, n, apart.data() + r * (n + 3));
      interleave_bfloat16(apart.data(), rows, n, n + 3, of_apart.data());
      for (int64_t r = 0; r < (rows + 1) / 2 * 2; ++r)
        for (int64_t c = 0; c < n; ++c) {
          const auto i = static_cast<size_t>(r * n + c), o = static_cast<size_t>(r / 2 * n + c);
          const auto part = [&](const std::vector<uint32_t>& words) {
            return words[o] >> (16 * (r % 2)) & 0xffffu;
          };
          const bool there = r < rows;
          ASSERT_EQ(part(of_codes), there ? half(codes[i]) : 0u);
          ASSERT_EQ(part(of_values), there ? half(from[i]) : 0u);
          ASSERT_EQ(part(of_apart), there ? half(from[i]) : 0u);
        }
    }
}

TEST(PackGradientRows, BothLayoutsAndTheSums) {
  constexpr int64_t kWords = kMostGradientRows / 2, kStride = kWords + 3;
  for (const int64_t rows : {1, 2, 5, 31, 32})
    for (const int64_t n : {16, 48})
      for (const bool sloped : {false, true})
        for (const int64_t stride : {-1, 0, 1}) {  // -1: no scales
          std::vector<float> dy = numbers(rows * n);
          const std::vector<float> row = numbers(rows), column = numbers(n);
          std::vector<uint16_t> slope(dy.size()), columns(dy.size());
          for (size_t i = 0; i < slope.size(); ++i)
            slope[i] = to_bfloat16(static_cast<float>(i % 5) - 1);
          std::vector<uint32_t> transposed(static_cast<size_t>(n * kStride), 0xabcdu);
          std::vector<float> sums(static_cast<size_t>(n), 0.5f);
          GradientScales scales;
          if (stride >= 0) scales = {column.data(), row.data(), stride};
          pack_gradient_rows({dy.data(), sloped ? slope.data() : nullptr}, rows, n, scales,
                             columns.data(), transposed.data(), kStride, sums.data());
          if (sloped)
            for (size_t i = 0; i < dy.size(); ++i) dy[i] *= from_bfloat16(slope[i]);
          for (int64_t c = 0; c < n; ++c) {
            float sum = 0.5f;
            for (int64_t r = 0; r < kMostGradientRows; ++r) {
              const auto i = static_cast<size_t>(r * n + c);
              const uint32_t word =
                  transposed[static_cast<size_t>(c * kStride + r / 2)] >> (16 * (r % 2));
              if (r >= rows) {
                ASSERT_EQ(word & 0xffffu, 0u);
                continue;
              }
              const float by_row = stride < 0 ? 1.0f : row[static_cast<size_t>(r * stride)],
                          by_column = stride < 0 ? 1.0f : column[static_cast<size_t>(c)];
              ASSERT_EQ(word & 0xffffu, half(dy[i] * by_row));
              ASSERT_EQ(columns[i], half(dy[i] * by_column));
              sum += dy[i];
            }
            ASSERT_EQ(sums[static_cast<size_t>(c)], sum);
            for (int64_t p = kWords; p < kStride; ++p)  // nothing beyond its words
              ASSERT_EQ(transposed[static_cast<size_t>(c * kStride + p)], 0xabcdu);
          }
        }
}

TEST(ShiftCodes, UnsignedCodesAndWhatTheShiftAdds) {
  const std::vector<int8_t> codes = all_codes(3 * 101);
  std::vector<uint8_t> shifted(codes.size());
  std::vector<int32_t> sums(3);
  shift_codes(codes.data(), static_cast<int64_t>(codes.size()), shifted.data());
  shifted_sums(codes.data(), 3, 101, sums.data());
  for (size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(shifted[i], codes[i] + 128);
  for (size_t r = 0; r < 3; ++r) {
    int32_t sum = 0;
    for (size_t c = 0; c < 101; ++c) sum += codes[r * 101 + c];
    EXPECT_EQ(sums[r], 128 * sum);
  }
}

TEST(InterleaveBytes, FoursOfRows) {
  constexpr int64_t kRows = 8, kN = 21;
  const std::vector<int8_t> codes = all_codes(kRows * kN);
  std::vector<uint32_t> words(kRows / 4 * kN);
  interleave_bytes(codes.data(), kRows, kN, words.data());
  std::vector<int32_t> sums(kN);
  shifted_column_sums(codes.data(), kRows, kN, sums.data());
  for (int64_t c = 0; c < kN; ++c) {
    int32_t sum = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      const int8_t code = codes[static_cast<size_t>(r * kN + c)];
      sum += code;
      const uint32_t word = words[static_cast<size_t>(r / 4 * kN + c)];
      EXPECT_EQ(static_cast<int8_t>(word >> (8 * (r % 4))), code);
    }
    EXPECT_EQ(sums[static_cast<size_t>(c)], 128 * sum);
  }
}

// Within half a level of each number, and back by way of a product with the identity.
TEST(GradientRows, AreWholeNumbersAndAScale) {
  constexpr int64_t kRows = 5, kN = 48;
  std::vector<uint16_t> rows(kRows * kN);
  const std::vector<float> values = numbers(kRows * kN);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint16_t>(half(values[i]));
  for (int64_t i = 0; i < kN; ++i) {
    rows[static_cast<size_t>(2 * kN + i)] = 0;                    // a row of zeros
    rows[static_cast<size_t>(3 * kN + i)] = i == 7 ? 0x0001 : 0;  // and one of the least number
  }
  rows[4 * kN + 9] = 0x7f80;  // infinite
  std::vector<uint8_t> codes(rows.size());
  std::vector<float> scale(kRows), back(rows.size());
  quantize_gradient_rows(rows.data(), kRows, kN, codes.data(), scale.data());
  std::vector<int32_t> acc(codes.begin(), codes.end());
  const std::vector<int32_t> shift(kN, 128);
  finish_gradient_rows(acc.data(), shift.data(), scale.data(), kRows, kN, back.data());
  for (int64_t r = 0; r < 4; ++r) {
    float most = 0.0f;
    for (int64_t c = 0; c < kN; ++c)
      most = std::max(most, std::abs(from_bfloat16(rows[static_cast<size_t>(r * kN + c)])));
    EXPECT_FLOAT_EQ(scale[static_cast<size_t>(r)], most / 127);
    for (int64_t c = 0; c < kN; ++c) {
      const auto i = static_cast<size_t>(r * kN + c);
      EXPECT_GE(codes[i], 1);
      EXPECT_NEAR(back[i], from_bfloat16(rows[i]), r == 3 ? most : 0.501f * most / 127) << r << c;
    }
  }
  for (int64_t c = 0; c < kN; ++c) EXPECT_TRUE(std::isnan(back[static_cast<size_t>(4 * kN + c)]));
}

TEST(AddRows, AddsToWhatIsThere) {
  const std::vector<float> from = {1, 2, 3, 4, 5, 6};
  std::vector<float> sums = {10, 20, 30};
  add_rows(from.data(), 2, 3, sums.data());
  EXPECT_EQ(sums, (std::vector<float>{15, 27, 39}));
}

}  // namespace
}  // namespace bitloop::kernels
