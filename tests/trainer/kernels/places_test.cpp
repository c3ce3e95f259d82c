#include "trainer/kernels/places.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace bitloop::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> numbers(int64_t n) {
  std::vector<float> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i)  // some alike
    out[i] = std::rint(4.0f * std::sin(static_cast<float>(i) * 1.3f)) / 3;
  return out;
}

// Each run's in order.
std::vector<float> tables(int64_t runs, int64_t entries) {
  std::vector<float> out = numbers(runs * entries);
  for (int64_t r = 0; r < runs; ++r)
    std::sort(out.begin() + r * entries, out.begin() + (r + 1) * entries);
  return out;
}

TEST(CountBelow, IsASearchInEachTable) {
  for (const int64_t entries : {1, 2, 7, 33})
    for (const int64_t length : {1, 255, 256, 300}) {
      const int64_t runs = 19;
      const std::vector<float> among = tables(runs, entries);
      std::vector<float> values = numbers(runs * length + 5);
      values.erase(values.begin(), values.begin() + 5);
      values.front() = kInfinity;
      values.back() = -kInfinity;
      std::vector<int64_t> places(values.size(), -7);
      ASSERT_TRUE(count_below(among.data(), runs, entries, values.data(), length, places.data()));
      for (int64_t r = 0; r < runs; ++r)
        for (int64_t i = r * length; i < (r + 1) * length; ++i) {
          const auto begin = among.begin() + r * entries, end = begin + entries;
          ASSERT_EQ(places[static_cast<size_t>(i)],
                    std::lower_bound(begin, end, values[static_cast<size_t>(i)]) - begin);
        }
    }
}

TEST(CountBelow, NoNumberIsAboveAllAndATableWithoutOrderIsNone) {
  const std::vector<float> values = {kNaN, 0.0f};
  std::vector<int64_t> places(2);
  const std::vector<float> table = {-1.0f, 1.0f};
  ASSERT_TRUE(count_below(table.data(), 1, 2, values.data(), 2, places.data()));
  EXPECT_EQ(places, (std::vector<int64_t>{2, 1}));
  for (const std::vector<float>& other :
       {std::vector{1.0f, 0.5f}, std::vector{0.0f, kNaN}, std::vector{kNaN, 0.0f}})
    EXPECT_FALSE(count_below(other.data(), 1, 2, values.data(), 2, places.data()));
}

TEST(AddAtPlaces, SumsInTheOrderOfTheRow) {
  const int64_t runs = 21, length = 130, entries = 5;
  const std::vector<float> values = numbers(runs * length);
  std::vector<int64_t> places(values.size());
  for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<int64_t>(i * 7 % 5);
  std::vector<float> sums = numbers(runs * entries), expected = sums;
  for (size_t i = 0; i < places.size(); ++i)
    expected[i / length * entries + static_cast<size_t>(places[i])] += values[i];
  ASSERT_TRUE(add_at_places(places.data(), values.data(), runs, length, entries, sums.data()));
  EXPECT_EQ(sums, expected);
  for (const int64_t bad : {int64_t{-1}, entries}) {
    places[100] = bad;
    EXPECT_FALSE(add_at_places(places.data(), values.data(), runs, length, entries, sums.data()));
  }
}

TEST(LookUp, EveryBlockHasItsTable) {
  for (const int64_t columns : {1, 4, 5, 600}) {
    const int64_t rows = 9, block = columns == 600 ? 512 : 4, entries = 6;
    const int64_t blocks = (columns + block - 1) / block;
    const std::vector<float> of = numbers(rows * blocks * entries);
    std::vector<float> codes(static_cast<size_t>(rows * columns)), rounded(codes.size()),
        values(codes.size());
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<float>(i * 5 % 6) + (i % 2 == 0 ? 4e-7f : -4e-7f);
    ASSERT_EQ(look_up(codes.data(), of.data(), rows, columns, block, entries, rounded.data(),
                      values.data()),
              -1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) {
        const auto i = static_cast<size_t>(r * columns + c);
        EXPECT_EQ(rounded[i], static_cast<float>(i * 5 % 6));
        ASSERT_EQ(values[i],
                  of[static_cast<size_t>((r * blocks + c / block) * entries) + i * 5 % 6]);
      }
  }
}

TEST(LookUp, TheFirstCodeThatIsNoPlaceIsNamed) {
  const std::vector<float> table(12, 1.0f);
  for (const float bad : {-1.0f, 6.0f, 2.5f, 1.00001f, 1e30f, kNaN, kInfinity, -kInfinity}) {
    std::vector<float> codes(20, 3.0f), rounded(20), values(20);
    codes[13] = codes[17] = bad;
    EXPECT_EQ(look_up(codes.data(), table.data(), 1, 20, 10, 6, rounded.data(), values.data()), 13)
        << bad;
  }
}

}  // namespace
}  // namespace bitloop::kernels
