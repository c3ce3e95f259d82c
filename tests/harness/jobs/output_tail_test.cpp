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

}  // namespace
}  // namespace bitloop::jobs
