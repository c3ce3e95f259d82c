// The progress of many runs for people, on stderr: a line that is drawn over on a terminal, and a
// line a finished run everywhere.
#pragma once

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/baselines/plan.h"
#include "harness/cli/progress.h"

namespace bitloop::cli {

// "ternary  seed 43  ok  val_loss 1.7833  1.585 bits  96 s"; requires run.done.
std::string ended_text(const baselines::Plan& plan, const baselines::PlannedRun& run);

class PlanProgress {
 public:
  // `runs_dir`: where the runs' folders are.
  PlanProgress(std::FILE* out, const baselines::Plan& plan, std::filesystem::path runs_dir);

  void poll(const std::vector<const baselines::PlannedRun*>& under_way);
  void ended(const baselines::PlannedRun& run);
  void finish();  // leaves the drawn line

 private:
  // "12/78": how many have ended.
  std::string count() const;
  // "about 1 h 44 min left", "" before the first run has ended. `begun`: the runs under way, in
  // parts of a run.
  std::string left(double begun) const;
  void clear();

  std::FILE* out_;
  const baselines::Plan& plan_;
  std::filesystem::path runs_dir_;
  bool terminal_;
  bool drawn_ = false;
  size_t ended_here_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::map<int64_t, RunReader> readers_;  // by test
};

}  // namespace bitloop::cli
