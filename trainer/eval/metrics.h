// From scores of questions to the numbers that a task reports, as lm-evaluation-harness 0.4 makes
// them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/eval/scorer.h"
#include "trainer/eval/task.h"

namespace bitloop::trainer {

// One document: what was asked and what the model said, a score a prompt (of a document or text in
// several windows: their sum).
struct Answer {
  Question question;
  std::vector<WindowScore> scores;
};

struct Metric {
  std::string name;
  double value = 0.0;
  std::optional<double> standard_error;  // where the metric has one
};

// The choice with the largest score, the first of equals; `by_length`: of scores a character.
int64_t chosen(const Answer& answer, bool by_length);

// Every metric of the task, over at least one answer. Standard errors of means are s / sqrt(n);
// that of a perplexity is by bootstrap (1,000 draws from a fixed seed); ratios over all documents
// have none.
std::vector<Metric> measure(const Task& task, std::span<const Answer> answers);

}  // namespace bitloop::trainer
