#include "harness/sessions/state.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

TestRecord test_of(int64_t number, const std::string& status) {
  TestRecord test;
  test.number = number;
  test.status = status;
  test.row.status = status;
  return test;
}

TEST(SessionState, ComesBackFromItsText) {
  SessionState state;
  state.id = "brave-otter-1f3a";
  state.task = "quick";
  state.quantizer = "ternary";
  state.agent = "an agent with \"quotes\" and ümlauts";
  state.type = "agent";
  state.created = "2026-01-01T00:00:00.000Z";
  state.tests_total = 3;
  state.closed = true;
  state.submitted = 2;
  state.undo = {"aa", "bb"};
  state.tests = {test_of(1, "script_error"), test_of(2, "ok"), test_of(3, kRunning)};
  state.tests[1].row.val_loss = 1.25;
  state.tests[1].commit = "cc";
  state.tests[1].stages = "### train (quick)";
  state.tests[1].seed = 42;
  state.tests[1].digest = {std::string(64, 'a'), std::string(64, 'b')};
  const auto back = parse_state(render_state(state));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(render_state(*back), render_state(state));
  EXPECT_EQ(back->submitted, 2);
  EXPECT_EQ(back->tests[1].row, state.tests[1].row);
  EXPECT_EQ(back->tests[1].digest.exact, std::string(64, 'a'));
  EXPECT_EQ(back->tests[1].digest.meaning, std::string(64, 'b'));
  EXPECT_TRUE(back->tests[2].running());
}

TEST(SessionState, ARunOfTheCommandLineHasATaskAndANameOfItsOwn) {
  SessionState state;
  state.id = state.type = kBaselineType;
  state.tests = {test_of(1, "ok")};
  state.tests[0].task = "tiny";
  state.tests[0].quantizer = "lsq";
  state.tests[0].fingerprint = std::string(40, 'a');
  const auto back = parse_state(render_state(state));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->tests[0].task, "tiny");
  EXPECT_EQ(back->tests[0].quantizer, "lsq");
  EXPECT_EQ(back->tests[0].fingerprint, std::string(40, 'a'));
  // A workspace of before has none of them.
  auto older = nlohmann::json::parse(render_state(state));
  for (const char* name : {"task", "quantizer", "fingerprint"}) older["tests"][0].erase(name);
  const auto read = parse_state(older.dump());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->tests[0].fingerprint, "");
}

TEST(SessionState, OnlyInfrastructureIsGivenBack) {
  SessionState state;
  state.tests_total = 3;
  EXPECT_EQ(state.tests_left(), 3);
  state.tests = {test_of(1, "infrastructure"), test_of(2, "violation"), test_of(3, kRunning)};
  EXPECT_EQ(state.tests_left(), 1);
  EXPECT_EQ(state.running_test()->number, 3);
  state.tests.push_back(test_of(4, "ok"));
  state.tests.push_back(test_of(5, "ok"));
  EXPECT_EQ(state.tests_left(), 0);
}

TEST(SessionState, AnUnknownTestIsAnError) {
  SessionState state;
  EXPECT_EQ(state.find_test(1).error().code, "test_not_found");
}

TEST(SessionState, ADamagedTextIsAnError) {
  for (const char* text : {"", "{", "[]", "{}", "{\"id\": 3}"})
    EXPECT_EQ(parse_state(text).error().code, "journal_unreadable") << text;
}

}  // namespace
}  // namespace bitloop::sessions
