#include "trainer/eval/windows.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace bitloop::trainer {
namespace {

using Ids = std::vector<int32_t>;

const tokenizer::Gpt2& gpt2() {
  static const tokenizer::Gpt2 loaded =
      *tokenizer::Gpt2::load(std::filesystem::path(BITLOOP_DEPS_DIR) / "data/gpt2-bpe");
  return loaded;
}

Window window(const Prompt& prompt, int64_t context = 1024) {
  auto made = continuation_window(gpt2(), prompt, context);
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : Window{};
}

TEST(ContinuationWindow, TheContinuationIsWhatBothTogetherAdd) {
  const Window made = window({"Hello", " world"});
  EXPECT_EQ(made.input, Ids{15496});
  EXPECT_EQ(made.targets, Ids{995});
}

TEST(ContinuationWindow, SpacesAtTheEndOfTheContextBelongToTheContinuation) {
  for (const char* space : {" ", "\n", "\u00a0", " \t\n", "\u3000 "}) {
    const std::string context = std::string("Hello") + space;
    const Window made = window({context, "world"});
    EXPECT_EQ(made.input.front(), 15496);
    EXPECT_EQ(made.input.size() - made.targets.size(), 0u) << context;  // one token stands before
  }
}

TEST(ContinuationWindow, AnEmptyContextIsTheEndOfATextBefore) {
  for (const char* nothing : {"", "  "}) {
    const Window made = window({nothing, "Hello world"});
    EXPECT_EQ(made.input.front(), tokenizer::Gpt2::kEndOfText);
    EXPECT_EQ(made.targets.back(), 995);
  }
}

TEST(ContinuationWindow, WhatIsTooLongLosesItsBeginning) {
  std::string words;
  for (int i = 0; i < 50; ++i) words += " Hello";
  const Window made = window({"start" + words, " world world"}, 10);
  EXPECT_EQ(made.input.size(), 10u);
  EXPECT_EQ(made.input.back(), 995);  // the last token is predicted, never read
  EXPECT_EQ(made.targets, (Ids{995, 995}));
  EXPECT_EQ(made.input.front(), 18435);
}

TEST(ContinuationWindow, NothingToScoreIsAnError) {
  const auto none = continuation_window(gpt2(), {"Hello", ""}, 64);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "a continuation has no tokens of its own");
  std::string words;
  for (int i = 0; i < 65; ++i) words += " word";
  const auto longer = continuation_window(gpt2(), {"Hello", words}, 64);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().message, "a continuation has 65 tokens, but the model's context is 64");
}

Ids count(int32_t n) {
  Ids ids;
  for (int32_t i = 1; i <= n; ++i) ids.push_back(i);
  return ids;
}

// The example of lm-evaluation-harness' own documentation of rolling windows: each token once, the
// last window as long as the others.
TEST(RollingWindows, EveryTokenIsPredictedOnceAndTheLastReachesBack) {
  const std::vector<Window> made = rolling_windows(count(10), 4);
  ASSERT_EQ(made.size(), 3u);
  EXPECT_EQ(made[0].input, (Ids{tokenizer::Gpt2::kEndOfText, 1, 2, 3}));
  EXPECT_EQ(made[0].targets, (Ids{1, 2, 3, 4}));
  EXPECT_EQ(made[1].input, (Ids{4, 5, 6, 7}));
  EXPECT_EQ(made[1].targets, (Ids{5, 6, 7, 8}));
  EXPECT_EQ(made[2].input, (Ids{6, 7, 8, 9}));
  EXPECT_EQ(made[2].targets, (Ids{9, 10}));
}

TEST(RollingWindows, AShortTextIsOneWindow) {
  const std::vector<Window> made = rolling_windows(count(2), 4);
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].input, (Ids{tokenizer::Gpt2::kEndOfText, 1}));
  EXPECT_EQ(made[0].targets, (Ids{1, 2}));
  EXPECT_TRUE(rolling_windows({}, 4).empty());
}

TEST(BlockWindows, OverlapByOneAndLeaveTheRestOut) {
  const std::vector<Window> made = block_windows(count(10), 4);
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ(made[0].input, (Ids{1, 2, 3, 4}));
  EXPECT_EQ(made[0].targets, (Ids{2, 3, 4, 5}));
  EXPECT_EQ(made[1].input, (Ids{5, 6, 7, 8}));
  EXPECT_EQ(made[1].targets, (Ids{6, 7, 8, 9}));
  EXPECT_EQ(block_windows(count(3), 4).at(0).targets, (Ids{2, 3}));  // else there would be none
  EXPECT_TRUE(block_windows(count(1), 4).empty());
}

}  // namespace
}  // namespace bitloop::trainer
