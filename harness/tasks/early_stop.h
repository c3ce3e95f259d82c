// When a task ends a hopeless test early: its validation loss is above the baseline's at equal
// steps by more than the noise allows, evaluation after evaluation. The rule is the task's; the
// limits that follow from it, and how often the rule errs, are measured on recorded curves
// (harness/baselines/early_stop.h) and shipped as results/baselines/<task>-early-stop.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tasks {

struct EarlyStopRule {
  std::string baseline;     // a quantizer: a test worse than it by far is hopeless
  double noises = 3;        // how far: in half widths of the prediction interval of one more run
  double from = 0.25;       // share of the steps before which nothing is stopped, (0, 1)
  int64_t consecutive = 2;  // evaluations in a row that must be above their limits

  bool operator==(const EarlyStopRule&) const = default;
};

struct EarlyStopLimit {
  int64_t step = 0;
  double val_loss = 0;  // the highest that goes on
  double baseline = 0;  // the baseline's mean there
};

// What the rule would have done with the runs that were recorded. False: a run was stopped that
// would have ended no worse than the baseline by more than the noise.
struct EarlyStopRecord {
  size_t runs = 0, stopped = 0, false_stops = 0;
  double steps_saved = 0;  // share of all their steps, 0 … 1
};

struct EarlyStop {
  EarlyStopRule rule;
  std::vector<EarlyStopLimit> limits;  // ascending steps; empty: not measured, nothing is stopped
  EarlyStopRecord record;
};

// The member `early_stop` of a task's file. Error: "bad_task" (the sentence names the key).
Result<EarlyStopRule> parse_early_stop_rule(const nlohmann::json& value);

// The measured file, and what a task shows of it.
nlohmann::ordered_json to_json(const EarlyStop& stop);

// Reads <share_dir>/baselines/<task>-early-stop.json for a task with this rule; without the file
// there are no limits, nor with one that was measured for another rule or other evaluations than the
// preset's. Errors: "bad_baselines" (not readable), "io_error".
Result<EarlyStop> load_early_stop(const std::filesystem::path& share_dir, const std::string& task,
                                  const EarlyStopRule& rule, const nlohmann::json& preset);

// Of the preset: what curves must have in common to be compared, {steps, every, batches}.
nlohmann::ordered_json evaluations_of(const nlohmann::json& preset);

// The member `early_stop` of a job: {baseline, consecutive, limits: [[step, val_loss,
// baseline's]]}, null without limits.
nlohmann::json job_early_stop(const EarlyStop& stop);

}  // namespace bitloop::tasks
