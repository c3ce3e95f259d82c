#include "harness/sessions/summary.h"

#include <gtest/gtest.h>

#include "harness/base/text.h"

namespace bitloop::sessions {
namespace {

SessionState session_of(size_t tests) {
  SessionState state;
  state.id = "brave-otter-1f3a";
  state.task = "quick";
  state.tests_total = 1000;
  for (size_t i = 0; i < tests; ++i) {
    TestRecord test;
    test.number = static_cast<int64_t>(i) + 1;
    test.status = "ok";
    test.commit = std::string("c").append(std::to_string(test.number));
    test.description = std::string("idea ").append(std::to_string(test.number));
    test.row.val_loss = 3.0 - 0.1 * static_cast<double>(i);
    test.row.bits_per_weight = 1.585;
    state.tests.push_back(test);
  }
  return state;
}

nlohmann::ordered_json summary(const SessionState& state, const std::string& diff = "") {
  return summarize(state, {}, "goal", {"head", {}, nullptr},
                   [&](const TestRecord&) -> Result<std::string> { return diff; });
}

TEST(Summary, ADiffIsItsCountsAndItsFirstLines) {
  const std::string diff =
      "--- a/candidate.lua\n+++ b/candidate.lua\n@@ -1,4 +1,4 @@\n same\n-old\n--- a comment\n"
      "+new\n+more\n";
  const auto summary = diff_summary(diff, 3);
  EXPECT_EQ(summary["added"], 2);
  EXPECT_EQ(summary["removed"], 2);
  EXPECT_EQ(summary["lines"], nlohmann::ordered_json({"-old", "--- a comment", "+new"}));
  EXPECT_EQ(diff_summary("", 3).dump(), R"({"added":0,"removed":0,"lines":[]})");
}

TEST(Summary, TextIsCutBetweenCharacters) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdefg", 6), "abc…");
  EXPECT_EQ(shortened("aäöü", 6), "aä…");
  EXPECT_TRUE(is_valid_utf8(shortened(std::string(5, 'a') + "€€€", 9)));
}

TEST(Summary, IdeasAreNewestFirstWithTheirVerdicts) {
  SessionState state = session_of(2);
  state.tags = {{"mine", {}}, {"median", 2}};
  const auto document = summary(state, "@@ -1 +1 @@\n-a\n+b\n");
  EXPECT_EQ(document["ideas"][0]["test"], 2);
  EXPECT_EQ(document["ideas"][0]["tags"], nlohmann::ordered_json({"median"}));
  EXPECT_EQ(document["ideas"][0]["diff"]["lines"], nlohmann::ordered_json({"-a", "+b"}));
  EXPECT_EQ(document["ideas"][1]["verdict"], "first");
  EXPECT_EQ(document["tags"], nlohmann::ordered_json({"mine"}));
  EXPECT_EQ(document["best"]["test"], 2);
  EXPECT_EQ(document["best"]["commit"], "c2");
  EXPECT_EQ(document["ideas_left_out"], 0);
}

TEST(Summary, ALongStoryIsShortenedFromItsBeginning) {
  SessionState state = session_of(300);
  for (TestRecord& test : state.tests) {
    test.description = std::string(4000, '"');
    if (test.number > 1) *test.row.val_loss += 100;  // the best is the first, which is left out
  }
  for (int i = 0; i < 64; ++i) state.tags.push_back({std::string(38, 'x') + std::to_string(i), {}});
  std::string diff = "@@ -1 +1 @@\n";
  for (int i = 0; i < 30; ++i) diff.append("+").append(500, '"').append("\n");
  const auto document = summarize(state, {}, std::string(1000, 'g'),
                                  {std::string(40, 'c'), 3, diff_summary(diff, 10)},
                                  [&](const TestRecord&) -> Result<std::string> { return diff; });
  EXPECT_LE(document.dump().size(), kMaxSummaryBytes);
  EXPECT_TRUE(document["ideas"][0].contains("diff"));
  EXPECT_FALSE(document["ideas"].back().contains("diff"));
  EXPECT_EQ(document["ideas"].size() + document["ideas_left_out"].get<size_t>(), 300U);
  EXPECT_EQ(document["best"]["test"], 1);
}

TEST(Summary, IsBoundedAlsoWithAllTagsOnTheBest) {
  SessionState state = session_of(60);
  for (TestRecord& test : state.tests) test.description = std::string(4000, '\\');
  for (int i = 0; i < 64; ++i) state.tags.push_back({std::string(38, 'x') + std::to_string(i), 2});
  state.agent = std::string(200, '"');
  std::string diff = "@@ -1 +1 @@\n";
  for (int i = 0; i < 30; ++i) diff.append("+").append(500, '\\').append("\n");
  const auto document = summarize(state, {}, std::string(1000, '"'),
                                  {std::string(40, 'c'), 3, diff_summary(diff, 10)},
                                  [&](const TestRecord&) -> Result<std::string> { return diff; });
  EXPECT_LE(document.dump().size(), kMaxSummaryBytes);
  EXPECT_EQ(document["ideas"].size() + document["ideas_left_out"].get<size_t>(), 60U);
  EXPECT_GT(document["ideas"].size(), 5U);
}

TEST(Summary, TheNextStepFollowsTheState) {
  const auto next = [](const SessionState& state, std::optional<int64_t> same_as) {
    return next_step(state, {}, {"", same_as, nullptr});
  };
  EXPECT_TRUE(next(session_of(0), {}).starts_with("Check the candidate"));
  SessionState state = session_of(2);
  EXPECT_TRUE(next(state, {}).starts_with("Check the candidate"));
  EXPECT_TRUE(next(state, 2).starts_with("Change one thing"));
  state.tests[1].row.val_loss = 4.0;
  EXPECT_TRUE(next(state, 2).starts_with("The candidate is that of test #2. Revert to test #1"));
  state.tests_total = 2;
  EXPECT_TRUE(next(state, {}).starts_with("Submit the best test, #1"));
  state.tests[1].status = kRunning;
  EXPECT_TRUE(next(state, {}).starts_with("Wait for test #2"));
  state.tests[1].status = "ok";
  state.closed = true;
  state.submitted = 1;
  EXPECT_TRUE(next(state, {}).starts_with("Nothing: test #1 is submitted."));
}

}  // namespace
}  // namespace bitloop::sessions
