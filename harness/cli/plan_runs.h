// What `baseline` and `compare` share: files become candidates, earlier runs are taken up, what is
// left is trained with its progress on stderr, and a signal ends it tidily.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/baselines/plan.h"
#include "harness/cli/common.h"

namespace bitloop::cli {

struct PlanRequest {
  std::vector<std::filesystem::path> files;
  std::string preset;
  int seeds = 3;
  Overrides overrides;
};
// Reads the files and plans the seeds from the preset's (or task's) on. Candidates are named as
// their files; of two files with one name each has its path for a name. Errors: those of
// load_target and apply_overrides.
Result<baselines::Plan> make_plan(const PlanRequest& request);

struct TrainPlan {
  std::string type;                   // of new rows: sessions::kLocalType or kBaselineType
  std::vector<std::string> sessions;  // whose runs count, too
  std::filesystem::path workspace;
  size_t jobs = 1;
  bool allow_degraded = false;
  std::filesystem::path benchmarks;  // documents of the task's benchmarks
};
// Marks in the plan what the workspace's runs have done.
Status take_earlier_runs(baselines::Plan& plan, const TrainPlan& options);
// Trains what is left. Errors: those of probe_sandbox, Service::open and baselines::perform.
Status train_plan(baselines::Plan& plan, const TrainPlan& options);

// To be called last: ends the process by the signal that interrupted train_plan, as who sent it
// expects; else returns `code`.
int end_by_signal(int code);

}  // namespace bitloop::cli
