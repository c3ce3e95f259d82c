#include "harness/jobs/output_tail.h"

#include <gtest/gtest.h>

namespace bitloop::jobs {
namespace {

TEST(OutputTailTest, KeepsTheLastBytes) {
  OutputTail tail(4);
  EXPECT_EQ(tail.text(), "");
  tail.append("ab");
  EXPECT_EQ(tail.text(), "ab");
  tail.append("cde");
  EXPECT_EQ(tail.text(), "bcde");
  tail.append("0123456789");
  EXPECT_EQ(tail.text(), "6789");
  for (char c = 'a'; c <= 'z'; ++c) tail.append({&c, 1});
  EXPECT_EQ(tail.text(), "wxyz");
}

TEST(LastLine, IsTheLastWithSomethingInIt) {
  EXPECT_EQ(last_line("one\ntwo\n\n  \n"), "two");
  EXPECT_EQ(last_line("one"), "one");
  EXPECT_EQ(last_line("\n \n"), "");
  EXPECT_EQ(last_line("a\x1b[31mb\n").find('\x1b'), std::string::npos);
  EXPECT_EQ(last_line(std::string(1000, 'x')).size(), 400U);
}

}  // namespace
}  // namespace bitloop::jobs
