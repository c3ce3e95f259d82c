#include "harness/sessions/tried.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

const std::string kA(64, 'a'), kB(64, 'b');

// A session of the agent "me", and others of the same task.
class TriedTest : public ::testing::Test {
 protected:
  TriedTest() {
    me_ = session("me", "2026-01-02");
    they_ = session("they", "2026-01-01");
    test(me_, "x = 1\n", "ok", 2.5);
    test(me_, "x = 2\n", "diverged", {});
    test(they_, "x = 3 -- other\n", "ok", 2.25);
  }
  static SessionState session(std::string id, std::string created) {
    SessionState state;
    state.id = std::move(id);
    state.created = std::move(created);
    state.task = "tiny";
    state.type = "agent";
    return state;
  }
  void test(SessionState& state, std::string_view candidate, std::string status,
            std::optional<double> val_loss, std::string behaviour = "") {
    TestRecord test;
    test.number = static_cast<int64_t>(state.tests.size()) + 1;
    test.status = std::move(status);
    test.row.val_loss = val_loss;
    test.digest = digest_of(candidate);
    test.behaviour = std::move(behaviour);
    state.tests.push_back(test);
    tests_.add(state, test);
  }
  std::vector<std::string> warnings(std::string_view before, std::string_view after) {
    return warnings_of(before, after, me_, tests_);
  }

  TriedTests tests_;
  SessionState me_, they_;
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
                "But for comments and white space it is that of test #1 of session they (val_loss "
                "2.2500) on the same task: a test of it would tell nothing new."});
}

TEST_F(TriedTest, AnEditThatChangesNothingIsNamed) {
  EXPECT_EQ(warnings("x = 5", "x = 5"),
            std::vector<std::string>{"This edit changes nothing: the file is what it was."});
  EXPECT_EQ(warnings("x = 5", "x = 5 -- five"),
            std::vector<std::string>{"This edit changes comments or white space alone: the "
                                     "candidate does what it did."});
}

TEST_F(TriedTest, OnesOwnComeFirstThenTheSameBytesThenTheNewest) {
  const Digest one = digest_of("x = 1\n");
  test(they_, "x = 1\n", "ok", 1.0);
  EXPECT_FALSE(tests_.find(me_, one)->elsewhere);
  test(me_, "x = 1 -- one\n", "ok", 2.0);
  EXPECT_EQ(tests_.find(me_, one)->test.test, 1);  // the same bytes, though another is newer
  test(me_, "x = 1\n", "ok", 2.0);
  EXPECT_EQ(tests_.find(me_, one)->test.test, 4);
  SessionState newer = session("a newer one", "2026-01-03");
  const SessionState third = session("third", "2026-01-04");
  EXPECT_EQ(tests_.find(third, one)->test.session, "me");  // of the newer session
  test(newer, "x = 1\n", "ok", 2.0);
  EXPECT_EQ(tests_.find(third, one)->test.session, "a newer one");
}

TEST_F(TriedTest, AnotherTaskAndAnotherTokenAreNotTold) {
  SessionState task = session("third", "2026-01-03"), token = task;
  task.task = "quick";
  token.token = "alice";
  EXPECT_FALSE(tests_.find(task, digest_of("x = 1\n")));
  EXPECT_FALSE(tests_.find(token, digest_of("x = 1\n")));
  test(token, "x = 9\n", "ok", 1.0, kA);
  EXPECT_FALSE(tests_.find(me_, digest_of("x = 9\n")));
  EXPECT_FALSE(tests_.find_behaviour(me_, kA));
}

TEST_F(TriedTest, TheSameBehaviourIsNamedHereBeforeElsewhere) {
  test(me_, "y = 1\n", "ok", 2.5, kA);
  test(me_, "y = 2\n", "ok", 2.25, kA);
  test(they_, "y = 3\n", "diverged", {}, kB);
  test(they_, "y = 4\n", "ok", 2, kA);
  EXPECT_EQ(behaviour_warning(kA, me_, tests_),
            "The candidate does the same as that of test #4 (val_loss 2.2500), to the last bit on "
            "the probe tensors: most likely a test of it would tell nothing new.");
  EXPECT_EQ(behaviour_warning(kB, me_, tests_),
            "The candidate does the same as that of test #2 of session they (it ended as diverged) "
            "on the same task, to the last bit on the probe tensors: most likely a test of it "
            "would tell nothing new.");
  EXPECT_EQ(behaviour_warning(std::string(64, 'c'), me_, tests_), std::nullopt);
  EXPECT_EQ(behaviour_warning("", me_, tests_), std::nullopt);
}

TEST_F(TriedTest, OnlyWhatTheCandidateDidWasTried) {
  for (const char* status : {"infrastructure", "cancelled", "running"})
    test(me_, std::string("x = ") + status, status, {});
  EXPECT_FALSE(tests_.find(me_, digest_of("x = infrastructure")));
  EXPECT_FALSE(tests_.find(me_, digest_of("x = cancelled")));
  EXPECT_FALSE(tests_.find(me_, digest_of("x = running")));
  test(me_, "x = 7\n", "rejected", {});
  EXPECT_TRUE(tests_.find(me_, digest_of("x = 7\n")));
  SessionState local = session("local", "2026-01-03");
  local.type = kLocalType;
  test(local, "x = 8\n", "ok", 1.0);
  EXPECT_FALSE(tests_.find(local, digest_of("x = 8\n")));
}

}  // namespace
}  // namespace bitloop::sessions
