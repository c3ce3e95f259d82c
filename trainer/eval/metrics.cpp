#include "trainer/eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <random>

namespace bitloop::trainer {
namespace {

constexpr int kDraws = 1000;

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

std::optional<double> deviation(const std::vector<double>& x) {
  if (x.size() < 2) return std::nullopt;
  const double centre = mean(x);
  double squares = 0.0;
  for (const double value : x) squares += (value - centre) * (value - centre);
  return std::sqrt(squares / static_cast<double>(x.size() - 1));
}

Metric of_mean(const std::string& name, const std::vector<double>& x) {
  Metric metric{name, mean(x), deviation(x)};
  if (metric.standard_error) *metric.standard_error /= std::sqrt(static_cast<double>(x.size()));
  return metric;
}

double perplexity(const std::vector<double>& log_probabilities) {
  return std::exp(-mean(log_probabilities));
}

// The spread of the perplexity over samples drawn from the documents with replacement.
std::optional<double> bootstrap(const std::vector<double>& log_probabilities) {
  if (log_probabilities.size() < 2) return std::nullopt;
  std::mt19937_64 random(1234);
  std::vector<double> drawn(log_probabilities.size()), values;
  for (int draw = 0; draw < kDraws; ++draw) {
    for (double& value : drawn) value = log_probabilities[random() % log_probabilities.size()];
    values.push_back(perplexity(drawn));
  }
  return deviation(values);
}

double log_probability(const Answer& answer) { return answer.scores.front().log_probability; }

// Nats over all documents for each of what `count` counts of them.
double nats_per(std::span<const Answer> answers,
                const std::function<int64_t(const Answer&)>& count) {
  double nats = 0.0, all = 0.0;
  for (const Answer& answer : answers) {
    nats -= log_probability(answer);
    all += static_cast<double>(count(answer));
  }
  return nats / all;
}

Metric measure_one(const Task& task, const std::string& name, std::span<const Answer> answers) {
  const auto each = [&](const auto& of) {
    std::vector<double> values;
    for (const Answer& answer : answers) values.push_back(of(answer));
    return values;
  };
  if (name == "acc" && task.kind() == TaskKind::kContinuation)
    return of_mean(name, each([](const Answer& a) { return a.scores.front().greedy ? 1.0 : 0.0; }));
  if (name == "acc" || name == "acc_norm")
    return of_mean(name, each([&](const Answer& a) {
                     return chosen(a, name == "acc_norm") == a.question.gold ? 1.0 : 0.0;
                   }));
  if (name == "perplexity" && task.kind() == TaskKind::kContinuation) {
    const std::vector<double> scores = each(log_probability);
    return {name, perplexity(scores), bootstrap(scores)};
  }
  if (name == "perplexity")
    return {name, std::exp(nats_per(answers, [](const Answer& a) { return a.scores[0].tokens; })),
            std::nullopt};
  if (name == "word_perplexity")
    return {name, std::exp(nats_per(answers, [](const Answer& a) { return a.question.words; })),
            std::nullopt};
  const double nats = nats_per(answers, [](const Answer& a) { return a.question.bytes; });
  if (name == "byte_perplexity") return {name, std::exp(nats), std::nullopt};
  return {name, nats / std::numbers::ln2, std::nullopt};  // bits_per_byte
}

}  // namespace

int64_t chosen(const Answer& answer, bool by_length) {
  int64_t best = 0;
  double best_score = 0.0;
  for (size_t i = 0; i < answer.scores.size(); ++i) {
    double score = answer.scores[i].log_probability;
    if (by_length) score /= static_cast<double>(answer.question.choice_length[i]);
    if (i > 0 && score <= best_score) continue;
    best = static_cast<int64_t>(i);
    best_score = score;
  }
  return best;
}

std::vector<Metric> measure(const Task& task, std::span<const Answer> answers) {
  std::vector<Metric> metrics;
  for (const std::string& name : task.metrics())
    metrics.push_back(measure_one(task, name, answers));
  return metrics;
}

}  // namespace bitloop::trainer
