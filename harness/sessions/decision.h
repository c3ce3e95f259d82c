// Keep or revert: what a finished test says about its candidate, against the session's best before
// it and the task's baselines, with the noise of single runs. A pure function of the session's
// tests and the task's table, so it holds for tests of any age.
//
// The best of a session is what the decisions before it kept: the first test with a score, then
// each that was to be kept in turn. So a run of lucky seeds does not creep upwards: what is inside
// the noise at the same bits replaces nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/sessions/state.h"
#include "harness/tasks/baselines.h"

namespace bitloop::sessions {

// A test that ended ok, as far as it is compared.
struct Score {
  int64_t test = 0;
  double val_loss = 0;
  std::optional<double> bits_per_weight;
};

struct BaselineDecision {
  std::string name;
  double val_loss = 0;    // the mean over its seeds
  double difference = 0;  // the test's val_loss minus that
  std::string verdict;    // "better", "worse", "trade_off", "inside_noise" or "unknown"
};

struct Decision {
  // The same words, and "first" for the session's first score. "unknown": the test has no score, or
  // the task has no noise floor.
  std::string verdict;
  bool keep = false;
  std::optional<Score> against;      // the session's best before the test
  std::optional<double> difference;  // the test's val_loss minus that
  // Half the width of the 95% interval of the difference of two single runs; absent where the task
  // has no noise floor.
  std::optional<double> noise;
  // An earlier test whose score is the same to the last digit: training is deterministic, so the
  // two candidates did the same.
  std::optional<int64_t> same_as;
  std::vector<BaselineDecision> baselines;  // ternary, and the best at no more bits
  std::string advice;                       // one sentence that begins with "Keep" or "Revert to"
};

// Judges a test of `tests` (in order of their numbers) that has ended. Requires: `number` is among
// them and does not run.
Decision decide(const std::vector<TestRecord>& tests, int64_t number,
                const tasks::BaselineTable& table);

// The session's best so far; nothing before the first score.
std::optional<Score> best_of(const std::vector<TestRecord>& tests,
                             const tasks::BaselineTable& table);

// Half the width of the 95% interval of the difference of two single runs.
std::optional<double> noise_of(const tasks::BaselineTable& table);

// {verdict, against, difference, noise, same_as, baselines, advice}; what is missing is null.
nlohmann::ordered_json to_json(const Decision& decision);
// "[Decision] worse than test #1: val_loss +0.0500 (noise ±0.0283). Revert to …": the last line of
// a test's message.
std::string decision_line(const Decision& decision);

}  // namespace bitloop::sessions
