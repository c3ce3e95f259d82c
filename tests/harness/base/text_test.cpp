#include "harness/base/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <regex>

namespace bitloop {
namespace {

using Strings = std::vector<std::string>;

TEST(Split, KeepsEmptyPartsButNoLineAfterTheLastNewline) {
  EXPECT_EQ(split("a,,b,", ','), (Strings{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (Strings{""}));
  EXPECT_EQ(split_lines(""), Strings{});
  EXPECT_EQ(split_lines("\n"), (Strings{""}));
  EXPECT_EQ(split_lines("a\n\nb"), (Strings{"a", "", "b"}));
  EXPECT_EQ(split_lines("a\nb\n"), (Strings{"a", "b"}));
  EXPECT_EQ(join({"a", "", "b"}, ", "), "a, , b");
  EXPECT_EQ(join({}, ", "), "");
}

TEST(Utf8, IsWhatTheStandardSays) {
  for (const char* good :
       {"", "abc", "\u00e9", "\u2013", "\U0001f600", "\ud7ff", "\ue000", "\U0010ffff"})
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xed\xbf\xbf", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80",
                          "\xf8\x88\x80\x80\x80", "\xff", "a\xe2\x80", "\xe2\x28\xa1"})
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  EXPECT_TRUE(is_valid_utf8(std::string_view("a\0b", 3)));
}

TEST(SingleLine, ForeignTextIsHarmless) {
  EXPECT_EQ(single_line("  a\tb\r\nc \n"), "a b  c");
  EXPECT_EQ(single_line(std::string_view("a\0b\x1b[2J\x7f", 8)), "a b [2J");
  EXPECT_EQ(single_line("a\u0085b\u2028c\u2029d"), "a b c d");
  EXPECT_EQ(single_line("\xff\u00e9\xc3"), "\ufffd\u00e9\ufffd");
  EXPECT_EQ(single_line(" \n\t "), "");
  EXPECT_EQ(single_line(""), "");
}

TEST(FormatNumber, ReadsBackExactly) {
  EXPECT_EQ(format_number(2.5), "2.5");
  EXPECT_EQ(format_number(0.1), "0.1");
  EXPECT_EQ(format_number(-0.0), "-0");
  for (const double number : {0.1 + 0.2, 1.0 / 3, 1e-300, 1.7976931348623157e308, 5e-324, -2.3178})
    EXPECT_EQ(std::strtod(format_number(number).c_str(), nullptr), number);
  EXPECT_EQ(format_number(std::nan("")), "");
  EXPECT_EQ(format_number(std::numeric_limits<double>::infinity()), "");
}

TEST(EditDistance, CountsBytes) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("levels", "level"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("ab", "ba"), 2u);
}

TEST(UtcNow, IsIso8601) {
  const std::string first = utc_now();
  EXPECT_TRUE(std::regex_match(
      first, std::regex(R"(20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{3}Z)")))
      << first;
}

TEST(RandomHex, IsAsLongAsAskedAndNew) {
  const std::string text = random_hex(16);
  EXPECT_TRUE(std::regex_match(text, std::regex("[0-9a-f]{32}"))) << text;
  EXPECT_NE(random_hex(16), text);
  EXPECT_EQ(random_hex(0), "");
}

}  // namespace
}  // namespace bitloop
