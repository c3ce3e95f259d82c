#include "trainer/eval/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "harness/base/fd.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Task shipped(const std::string& name) {
  const std::string file = name + ".lua";
  auto task = Task::load(
      *read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "trainer/eval/tasks" / file), file);
  EXPECT_TRUE(task) << task.error().message;
  return *std::move(task);
}

std::string load_error(const std::string& source) {
  const auto task = Task::load(source, "t.lua");
  return task ? "loaded" : task.error().message;
}

TEST(Task, EveryShippedFileIsATask) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "trainer/eval/tasks")) {
    EXPECT_EQ(shipped(entry.path().stem().string()).name(), entry.path().stem().string());
    ++count;
  }
  EXPECT_EQ(count, 9);
}

TEST(Task, SixStandInTheLedger) {
  EXPECT_EQ(shipped("arc_easy").ledger().column, "arc_easy");
  EXPECT_EQ(shipped("arc_easy").ledger().metric, "acc");
  EXPECT_EQ(shipped("lambada").ledger().column, "lambada_ppl");
  EXPECT_EQ(shipped("wikitext2").ledger().metric, "perplexity");
  EXPECT_EQ(shipped("lambada_openai").ledger().column, "");
  const std::string blocks =
      "return {name = 't', kind = 'blocks', file = 'f', fields = {'a'}, text = '{a}', separator = "
      "'', metrics = {'perplexity'}, ledger = ";
  EXPECT_THAT(load_error(blocks + "{column = 'x', metric = 'acc'}}"),
              HasSubstr("'ledger' names 'acc', which is none of its metrics"));
  EXPECT_THAT(load_error(blocks + "'x'}"), HasSubstr("'ledger' must be a table"));
}

TEST(Task, ChoicesOfEitherFormOfArcAreTheSameQuestion) {
  Task arc = shipped("arc_easy");
  const auto parts =
      arc.question({{"question", "Why?"},
                    {"choices", {{"text", {"because", "so"}}, {"label", {"A", "B"}}}},
                    {"answerKey", "B"}});
  const auto query = arc.question(
      {{"query", "Question: Why?\nAnswer:"}, {"choices", {"because", "so"}}, {"gold", 1}});
  ASSERT_TRUE(parts);
  ASSERT_TRUE(query);
  for (const auto& question : {*parts, *query}) {
    EXPECT_EQ(question.prompts.at(0).context, "Question: Why?\nAnswer:");
    EXPECT_EQ(question.prompts.at(1).continuation, " so");
    EXPECT_EQ(question.choice_length, (std::vector<int64_t>{7, 2}));
    EXPECT_EQ(question.gold, 1);
  }
}

TEST(Task, WinograndeScoresWhatFollowsTheGap) {
  const auto made = shipped("winogrande")
                        .question({{"sentence", "Ann met Mary and _ smiled. "},
                                   {"option1", "Ann"},
                                   {"option2", "Mary"},
                                   {"answer", "2"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->prompts.at(0).context, "Ann met Mary and Ann");
  EXPECT_EQ(made->prompts.at(1).context, "Ann met Mary and Mary");
  EXPECT_EQ(made->prompts.at(1).continuation, " smiled.");
  EXPECT_EQ(made->gold, 1);
}

TEST(Task, LambadaAsksForTheLastWord) {
  const auto made = shipped("lambada_openai").question({{"text", "the end\nis near now"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->prompts.at(0).context, "the end\nis near");
  EXPECT_EQ(made->prompts.at(0).continuation, " now");
}

TEST(Task, WikitextIsDetokenisedButCountedAsPublished) {
  const auto made =
      shipped("wikitext")
          .question({{"page", " = A = \n \n 1 @,@ 850 ( c. 2 ) \" so \" it 's . \n"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->prompts.at(0).continuation, " = A =\n\n1,850 (c. 2) \"so\" it's.\n");
  EXPECT_EQ(made->bytes, 46);
  EXPECT_EQ(made->words, 18);  // Python's split counts the empty ends
}

TEST(Task, WordsAreCountedAtEverySpaceOfUnicode) {
  const auto made = shipped("wikitext")
                        .question({{"page",
                                    "a\u00a0b\u2003c d\u3000e\u0085"
                                    "f\x1cg"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->words, 7);
}

TEST(Task, LengthsAreCharactersNotBytes) {
  const auto made = shipped("piqa").question(
      {{"goal", "g"}, {"sol1", "naïve Ω"}, {"sol2", "\u2603"}, {"label", 0}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->choice_length, (std::vector<int64_t>{7, 1}));
}

TEST(Task, AFileThatIsNoTaskIsToldWhy) {
  const std::string good =
      "name = 'n', file = 'f.jsonl', fields = {'a'}, metrics = {'acc'}, kind = 'multiple_choice', ";
  EXPECT_EQ(load_error("return {" + good + "context = '{a}', choices = 'b', gold = 'c'}"),
            "loaded");
  EXPECT_THAT(load_error("x ="), HasSubstr("t.lua:1:"));
  EXPECT_THAT(load_error("return 1"), HasSubstr("must return a table"));
  EXPECT_THAT(load_error("return {" + good + "context = '{a}', gold = 'c'}"),
              HasSubstr("a multiple_choice task must have 'choices'"));
  EXPECT_THAT(load_error("return {name = 'n', file = 'f', kind = 'quiz'}"),
              HasSubstr("kind 'quiz' is unknown"));
  EXPECT_THAT(load_error("return {name = 'n', file = 'f', kind = 'document', fields = {'a'}, "
                         "metrics = {'acc'}, text = '{a}'}"),
              HasSubstr("a document task has no metric 'acc'"));
  EXPECT_THAT(load_error("return {file = 'f'}"), HasSubstr("'name' must be a text, got nil"));
  EXPECT_THAT(load_error("while true do end"), HasSubstr("t.lua"));
}

TEST(Task, FieldsMayLieDeepAndTemplatesMayNameThem) {
  auto task = Task::load(
      "return {name = 'n', file = 'f.jsonl', kind = 'multiple_choice', fields = {'q.text'}, "
      "metrics = {'acc'}, context = 'Q {q.text}?', choices = {'{q.a}!', 'no'}, gold = 'q.gold'}",
      "t.lua");
  ASSERT_TRUE(task);
  const auto made = task->question({{"q", {{"text", "x"}, {"a", "y"}, {"gold", 0}}}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->prompts.at(0).context, "Q x?");
  EXPECT_EQ(made->prompts.at(0).continuation, " y!");
  const auto bad = task->question({{"q", {{"text", nullptr}}}});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, "there is no field 'q.text'");
}

}  // namespace
}  // namespace bitloop::trainer
