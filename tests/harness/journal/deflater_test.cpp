#include "harness/journal/deflater.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <thread>
#include <vector>

namespace bitloop::journal {
namespace {

std::string inflated(const std::string& packed, size_t size) {
  std::string plain(size + 1, '\0');
  uLongf length = plain.size();
  EXPECT_EQ(::uncompress(reinterpret_cast<Bytef*>(plain.data()), &length,
                         reinterpret_cast<const Bytef*>(packed.data()), packed.size()),
            Z_OK);
  plain.resize(length);
  return plain;
}

TEST(Deflater, TextsThatFollowEachOtherComeBackWhole) {
  Deflater deflater;
  std::string noise;
  for (int i = 0; i < 300'000; ++i) noise += static_cast<char>((i * 2654435761U) >> 13U);
  for (const std::string& plain : {std::string("x = 1\n"), noise, std::string(), noise + noise,
                                   std::string(100'000, 'a'), std::string("x = 1\n")}) {
    const auto packed = deflater.deflated(plain);
    ASSERT_TRUE(packed) << packed.error().message;
    EXPECT_EQ(inflated(*packed, plain.size()), plain);
  }
  // Nothing of one text is in the next.
  EXPECT_EQ(*deflater.deflated("x = 1\n"), *Deflater().deflated("x = 1\n"));
}

TEST(Deflater, ThreadsDoNotMixTheirTexts) {
  Deflater deflater;
  std::vector<std::jthread> threads;
  for (char c = 'a'; c < 'e'; ++c)
    threads.emplace_back([&deflater, c] {
      for (size_t i = 0; i < 200; ++i) {
        const std::string plain(100 * i, c);
        EXPECT_EQ(inflated(*deflater.deflated(plain), plain.size()), plain);
      }
    });
}

}  // namespace
}  // namespace bitloop::journal
