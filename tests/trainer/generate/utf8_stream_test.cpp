#include "trainer/generate/utf8_stream.h"

#include <gtest/gtest.h>

namespace bitloop::trainer {
namespace {

TEST(Utf8Stream, ACharacterComesOnceItIsWhole) {
  const std::string text = "aé€😀.";
  for (size_t step = 1; step <= text.size(); ++step) {
    Utf8Stream stream;
    std::string all;
    for (size_t at = 0; at < text.size(); at += step) {
      const std::string part = stream.add(text.substr(at, step));
      // No part ends or begins within a character.
      if (!part.empty()) {
        EXPECT_NE(static_cast<unsigned char>(part.front()) & 0xC0U, 0x80U) << step;
      }
      all += part;
    }
    EXPECT_EQ(all, text) << step;
    EXPECT_EQ(stream.finish(), "");
  }
}

TEST(Utf8Stream, BytesThatAreNoTextAreNotHeldForEver) {
  Utf8Stream stream;
  EXPECT_EQ(stream.add("\x80\x80\x80\x80"), "\x80\x80\x80\x80");
  EXPECT_EQ(stream.add("\xFF"), "\xFF");
  EXPECT_EQ(stream.add("\xE2\x82"), "");
  EXPECT_EQ(stream.add("a"),
            "\xE2\x82"
            "a");
  EXPECT_EQ(stream.add("\xF0\x9F"), "");
  EXPECT_EQ(stream.finish(), "\xF0\x9F");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace bitloop::trainer
