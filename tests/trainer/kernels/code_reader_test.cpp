#include "trainer/kernels/code_reader.h"

#include <gtest/gtest.h>

#include "tests/trainer/kernels/packed_codes.h"

namespace bitloop::kernels {
namespace {

TEST(CodeReader, ReadsEveryRunOfEveryLayout) {
  std::mt19937 random(1);
  for (const int levels : kSomeLevels) {
    const RandomCodes codes(13, 53, levels, random);
    const CodeReader reader(codes.packed);
    ASSERT_TRUE(are_codes(codes.packed)) << levels;
    std::vector<uint8_t> out;
    for (const int64_t first : {0, 1, 2, 3, 4, 5, 8, 53, 106, 159, 300})
      for (const int64_t count : {0, 1, 2, 7, 30, 53, 71, 300, 330}) {
        out.assign(static_cast<size_t>(count + CodeReader::kSlack), 0xee);
        for (const Instructions with : instruction_sets()) {
          const uint8_t* const read = reader.read(first, count, out.data(), with);
          for (int64_t i = 0; i < count; ++i)
            ASSERT_EQ(read[i], codes.indices[static_cast<size_t>(first + i)])
                << levels << " levels, code " << i << " of " << count << " from " << first;
        }
      }
  }
}

TEST(CodeReader, WritesWhatACodeStandsFor) {
  std::mt19937 random(2);
  for (const int levels : {2, 3, 5, 7, 16, 100}) {
    const RandomCodes codes(5, 31, levels, random);
    std::vector<uint8_t> stands_for;
    for (int i = 0; i < levels; ++i) stands_for.push_back(static_cast<uint8_t>(7 * i + 3));
    std::vector<uint8_t> out(155 + CodeReader::kSlack);
    for (const Instructions with : instruction_sets()) {
      const uint8_t* const read =
          CodeReader(codes.packed, stands_for).read(0, 155, out.data(), with);
      for (size_t i = 0; i < 155; ++i) ASSERT_EQ(read[i], stands_for[codes.indices[i]]) << levels;
    }
  }
}

TEST(AreCodes, SaysWhatUnpackingSays) {
  std::mt19937 random(3);
  for (const int levels : kSomeLevels) {
    RandomCodes codes(3, 37, levels, random);
    const auto packing = trainer::CodePacking::of(levels);
    std::vector<uint16_t> unpacked(111);
    for (int trial = 0; trial < 300; ++trial) {
      const size_t byte = random() % codes.bytes.size();
      const auto flip = static_cast<uint8_t>(1u << random() % 8);
      codes.bytes[byte] ^= flip;
      ASSERT_EQ(are_codes(codes.packed),
                trainer::unpack_codes(packing, codes.bytes.data(), 111, unpacked.data()))
          << levels << " levels, byte " << byte;
      codes.bytes[byte] ^= flip;
    }
  }
}

TEST(CodeReader, TakesAnyBytes) {
  std::mt19937 random(4);
  for (const int levels : kSomeLevels) {
    RandomCodes codes(3, 37, levels, random);
    for (uint8_t& byte : codes.bytes) byte = 0xff;
    std::vector<uint8_t> out(111 + CodeReader::kSlack);
    for (const Instructions with : instruction_sets()) {
      const uint8_t* const read = CodeReader(codes.packed).read(0, 111, out.data(), with);
      for (size_t i = 0; i < 111; ++i) ASSERT_LT(read[i], levels);
    }
  }
}

}  // namespace
}  // namespace bitloop::kernels
