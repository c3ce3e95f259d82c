#include "harness/sessions/tried.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

class TriedTest : public ::testing::Test {
 protected:
  std::vector<std::string> warnings(std::string_view before, std::string_view after) {
    return warnings_of(before, after, here_, elsewhere_, known_);
  }
  int reads_ = 0;
  std::map<std::string, std::string> commits_ = {
      {"c1", "x = 1\n"}, {"c2", "x = 2\n"}, {"c3", "x = 3 -- other\n"}};
  Digests known_{[this](const std::string& commit) -> Result<std::string> {
    ++reads_;
    if (!commits_.contains(commit)) return fail("unknown_commit", "gone");
    return commits_[commit];
  }};
  std::vector<Tried> here_ = {{"me", 1, "c1", "ok", 2.5}, {"me", 2, "c2", "diverged", {}}};
  std::vector<Tried> elsewhere_ = {{"gone", 1, "c9", "ok", 1.0}, {"they", 4, "c3", "ok", 2.25}};
};

TEST_F(TriedTest, ANewIdeaIsNotWarnedOf) { EXPECT_TRUE(warnings("x = 1\n", "x = 4\n").empty()); }

TEST_F(TriedTest, WhatWasTestedBeforeIsNamedWithItsScore) {
  EXPECT_EQ(warnings("x = 4\n", "x = 1\n"),
            std::vector<std::string>{"The candidate is byte by byte that of test #1 (val_loss "
                                     "2.5000): a test of it would tell nothing new."});
  EXPECT_EQ(warnings("x = 4\n", "x  =  2  -- again\n"),
            std::vector<std::string>{"But for comments and white space it is that of test #2 (it "
                                     "ended as diverged): a test of it would tell nothing new."});
  EXPECT_EQ(warnings("x = 4\n", "x = 3\n"),
            std::vector<std::string>{
                "But for comments and white space it is that of test #4 of session they (val_loss "
                "2.2500) on the same task: a test of it would tell nothing new."});
}

TEST_F(TriedTest, AnEditThatChangesNothingIsNamed) {
  EXPECT_EQ(warnings("x = 5", "x = 5"),
            std::vector<std::string>{"This edit changes nothing: the file is what it was."});
  EXPECT_EQ(warnings("x = 5", "x = 5 -- five"),
            std::vector<std::string>{"This edit changes comments or white space alone: the "
                                     "candidate does what it did."});
}

TEST_F(TriedTest, ACommitIsReadOnce) {
  (void)warnings("x = 4\n", "x = 5\n");
  const int before = reads_;
  (void)warnings("x = 4\n", "x = 6\n");
  EXPECT_EQ(reads_, before + 1);  // the one that cannot be read is asked again
}

TEST_F(TriedTest, TheSameBehaviourIsNamedHereBeforeElsewhere) {
  const std::string a(64, 'a'), b(64, 'b');
  const std::vector<Tried> here = {{"s", 1, "c1", "ok", 2.5, a}, {"s", 2, "c2", "ok", 2.25, a}};
  const std::vector<Tried> elsewhere = {{"t", 7, "c3", "diverged", {}, b},
                                        {"t", 8, "c4", "ok", 2, a}};
  EXPECT_EQ(
      behaviour_warning(a, here, elsewhere),
      "The candidate does the same as that of test #2 (val_loss 2.2500) on the probe tensors, "
      "to the last bit: most likely a test of it would tell nothing new.");
  EXPECT_EQ(
      behaviour_warning(b, here, elsewhere),
      "The candidate does the same as that of test #7 of session t on the same task (it ended "
      "as diverged) on the probe tensors, to the last bit: most likely a test of it would tell "
      "nothing new.");
  EXPECT_EQ(behaviour_warning(std::string(64, 'c'), here, elsewhere), std::nullopt);
  EXPECT_EQ(behaviour_warning("", {{"s", 1, "c1", "ok", 2.5, ""}}, {}), std::nullopt);
}

TEST_F(TriedTest, OnlyWhatTheCandidateDidWasTried) {
  SessionState state;
  state.id = "s";
  for (const char* status : {"ok", "infrastructure", "cancelled", "rejected", "running"}) {
    TestRecord test;
    test.number = static_cast<int64_t>(state.tests.size()) + 1;
    test.status = status;
    state.tests.push_back(test);
  }
  const auto tried = tried_in(state);
  ASSERT_EQ(tried.size(), 2U);
  EXPECT_EQ(tried[1].status, "rejected");
}

}  // namespace
}  // namespace bitloop::sessions
