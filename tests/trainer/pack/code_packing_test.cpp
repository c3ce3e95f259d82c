#include "trainer/pack/code_packing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace bitloop::trainer {
namespace {

TEST(CodePacking, TakesWhatTheLevelsCost) {
  const auto is = [](int64_t levels, int codes, int bits) {
    const CodePacking packing = CodePacking::of(levels);
    EXPECT_EQ(packing.codes, codes) << levels;
    EXPECT_EQ(packing.bits, bits) << levels;
  };
  is(2, 1, 1);
  is(3, 5, 8);  // 243 of 256
  is(4, 1, 2);
  is(5, 3, 7);  // 125 of 128
  is(8, 1, 3);
  is(16, 1, 4);
  is(256, 1, 8);
  is(65536, 1, 16);
  is(1, 1, 0);
  for (int64_t levels = 2; levels <= 300; ++levels) {
    const CodePacking packing = CodePacking::of(levels);
    const double cost = static_cast<double>(packing.bits) / packing.codes;
    const double most = levels < 60 ? 1.01 : 1.02;
    EXPECT_LE(cost, most * std::log2(static_cast<double>(levels))) << levels;
    EXPECT_GE(cost, std::log2(static_cast<double>(levels)) - 1e-9) << levels;
  }
}

TEST(CodePacking, WhatIsPackedComesBack) {
  std::mt19937 random(7);
  for (const int64_t levels : {2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 17, 100, 255, 256, 1000, 65536})
    for (const int64_t count : {1, 2, 3, 4, 5, 7, 8, 31, 64, 999}) {
      const CodePacking packing = CodePacking::of(levels);
      std::vector<uint16_t> indices(static_cast<size_t>(count)), back(indices.size());
      for (uint16_t& index : indices) index = static_cast<uint16_t>(random() % levels);
      // The largest everywhere is where a number has the most bits.
      if (count == 64) std::fill(indices.begin(), indices.end(), static_cast<uint16_t>(levels - 1));
      std::vector<uint8_t> bytes(static_cast<size_t>(packing.bytes(count)) + 1, 0xee);
      pack_codes(packing, indices.data(), count, bytes.data());
      EXPECT_EQ(bytes.back(), 0xee) << levels << " " << count;  // nothing beyond
      ASSERT_TRUE(unpack_codes(packing, bytes.data(), count, back.data()))
          << levels << " " << count;
      EXPECT_EQ(back, indices) << levels << " " << count;
    }
}

TEST(CodePacking, TheLayoutIsTheDocumentsOwn) {
  const std::vector<uint16_t> ternary = {2, 0, 1, 1, 2, 1};  // 2 + 0·3 + 1·9 + 1·27 + 2·81, then 1
  std::vector<uint8_t> bytes(2);
  pack_codes(CodePacking::of(3), ternary.data(), 6, bytes.data());
  EXPECT_EQ(bytes, (std::vector<uint8_t>{200, 1}));
  const std::vector<uint16_t> three_bits = {1, 2, 7};  // 001, 010, 111 from the lowest bit on
  pack_codes(CodePacking::of(8), three_bits.data(), 3, bytes.data());
  EXPECT_EQ(bytes, (std::vector<uint8_t>{0b11010001, 0b1}));
}

TEST(CodePacking, BytesThatNobodyPackedAreRefused) {
  std::vector<uint16_t> back(8);
  const uint8_t beyond[] = {250};  // 3^5 is 243
  EXPECT_FALSE(unpack_codes(CodePacking::of(3), beyond, 5, back.data()));
  const uint8_t rest[] = {9};  // two codes, and something where a third would be
  EXPECT_FALSE(unpack_codes(CodePacking::of(3), rest, 2, back.data()));
  const uint8_t high[] = {0b1000};  // one code of three bits, and a bit above it
  EXPECT_FALSE(unpack_codes(CodePacking::of(8), high, 1, back.data()));
}

}  // namespace
}  // namespace bitloop::trainer
