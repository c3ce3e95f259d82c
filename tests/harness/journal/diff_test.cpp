#include "harness/journal/diff.h"

#include <gtest/gtest.h>

namespace bitloop::journal {
namespace {

TEST(UnifiedDiff, ShowsWhatChangedWithItsSurroundings) {
  const std::string before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
  const std::string after = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n";
  EXPECT_EQ(
      unified_diff(before, after, "candidate.lua"),
      "--- a/candidate.lua\n+++ b/candidate.lua\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n "
      "8\n");
}

TEST(UnifiedDiff, OfEqualTextsIsEmpty) {
  EXPECT_EQ(unified_diff("same\n", "same\n", "a"), "");
  EXPECT_EQ(unified_diff("", "", "a"), "");
}

TEST(UnifiedDiff, FromAndToNothing) {
  EXPECT_TRUE(unified_diff("", "a\n", "a")->ends_with("@@ -0,0 +1 @@\n+a\n"));
  EXPECT_TRUE(unified_diff("a\n", "", "a")->ends_with("@@ -1 +0,0 @@\n-a\n"));
}

TEST(UnifiedDiff, LinesThatLookLikeADiffStayLines) {
  const auto text = unified_diff("x\n", "--- a/x\n+++ b/x\n", "a");
  EXPECT_TRUE(text->starts_with("--- a/a\n+++ b/a\n@@ ")) << *text;
  EXPECT_TRUE(text->ends_with("-x\n+--- a/x\n++++ b/x\n")) << *text;
}

}  // namespace
}  // namespace bitloop::journal
