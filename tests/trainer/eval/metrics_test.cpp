#include "trainer/eval/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::trainer {
namespace {

Task task(const std::string& kind, const std::string& metrics, const std::string& more) {
  return *Task::load("return {name = 'n', file = 'f.jsonl', kind = '" + kind +
                         "', fields = {'a'}, " + "metrics = {" + metrics + "}, " + more + "}",
                     "t.lua");
}

Answer choice(std::vector<double> scores, std::vector<int64_t> lengths, int64_t gold) {
  Answer answer;
  answer.question.choice_length = std::move(lengths);
  answer.question.gold = gold;
  for (const double score : scores) answer.scores.push_back({score, 1, false});
  return answer;
}

TEST(Metrics, TheFirstOfEqualsIsChosen) {
  EXPECT_EQ(chosen(choice({-2, -1, -1}, {1, 1, 1}, 0), false), 1);
  EXPECT_EQ(chosen(choice({-2, -2}, {1, 1}, 0), false), 0);
  EXPECT_EQ(chosen(choice({-2, -3}, {1, 3}, 0), true), 1);
}

TEST(Metrics, AccuracyAndItsError) {
  const Task asked =
      task("multiple_choice", "'acc', 'acc_norm'", "context = '', choices = 'a', gold = 'a'");
  const std::vector<Answer> answers = {choice({-2, -3}, {1, 3}, 0), choice({-2, -3}, {1, 1}, 0),
                                       choice({-2, -3}, {1, 1}, 1), choice({-9, -3}, {1, 1}, 1)};
  const std::vector<Metric> metrics = measure(asked, answers);
  EXPECT_EQ(metrics.at(0).name, "acc");
  EXPECT_DOUBLE_EQ(metrics.at(0).value, 0.75);
  EXPECT_DOUBLE_EQ(metrics.at(1).value, 0.5);
  EXPECT_NEAR(*metrics.at(0).standard_error, std::sqrt(0.75 / 3) / 2, 1e-12);
  EXPECT_FALSE(measure(asked, std::span(answers).first(1))[0].standard_error);
}

TEST(Metrics, APerplexitysErrorIsAboutThatOfItsLogarithm) {
  const Task asked = task("continuation", "'perplexity', 'acc'", "context = '', continuation = ''");
  std::vector<Answer> answers;
  for (int i = 0; i < 400; ++i) answers.push_back(choice({-3 + 0.5 * std::sin(i)}, {}, 0));
  const std::vector<Metric> metrics = measure(asked, answers);
  EXPECT_NEAR(metrics[0].value, std::exp(3), 0.1);
  const double expected = std::exp(3) * 0.5 / std::sqrt(2.0) / std::sqrt(400);
  EXPECT_NEAR(*metrics[0].standard_error, expected, 0.15 * expected);
  EXPECT_EQ(measure(asked, answers)[0].standard_error, metrics[0].standard_error);
}

TEST(Metrics, RatiosAreOverAllDocuments) {
  const Task asked =
      task("document", "'word_perplexity', 'byte_perplexity', 'bits_per_byte'", "text = ''");
  std::vector<Answer> answers = {choice({-10}, {}, 0), choice({-30}, {}, 0)};
  answers[0].question.words = 3;
  answers[1].question.words = 7;
  answers[0].question.bytes = answers[1].question.bytes = 50;
  const std::vector<Metric> metrics = measure(asked, answers);
  EXPECT_NEAR(metrics[0].value, std::exp(4.0), 1e-9);
  EXPECT_NEAR(metrics[1].value, std::exp(0.4), 1e-12);
  EXPECT_NEAR(metrics[2].value, 0.4 / std::log(2.0), 1e-12);
}

}  // namespace
}  // namespace bitloop::trainer
