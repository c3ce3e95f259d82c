// Plans whose runs have ended as a test says, without training.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/baselines/plan.h"

namespace bitloop::baselines {

inline tasks::Task a_task() {
  tasks::Task task;
  task.name = "quick";
  task.preset = "quick";
  return task;
}

inline nlohmann::json a_preset() {
  return {{"name", "quick"}, {"description", "words"}, {"train", {{"steps", 400}, {"seed", 42}}}};
}

// Candidates by name; the text is made of the name.
inline Plan a_plan(const std::vector<std::string>& names, int seeds) {
  std::vector<Candidate> candidates;
  for (const std::string& name : names) candidates.push_back({name, "-- " + name + "\n"});
  return make_plan(a_task(), a_preset(), candidates, 42, seeds);
}

inline sessions::TestRecord a_record(const PlannedRun& run, int64_t number,
                                     const std::string& status) {
  sessions::TestRecord record;
  record.number = number;
  record.status = status;
  record.seed = run.seed;
  record.fingerprint = run.fingerprint;
  record.row.status = status;
  record.row.version = "1.0+abc";
  return record;
}

// How one candidate did: its bits, and a loss for each seed; no loss: it diverged.
struct Scores {
  std::string name;
  double bits;
  std::vector<std::optional<double>> losses;
};

inline Plan a_trained_plan(const std::vector<Scores>& all) {
  std::vector<std::string> names;
  for (const Scores& scores : all) names.push_back(scores.name);
  Plan plan = a_plan(names, static_cast<int>(all.front().losses.size()));
  int64_t number = 0;
  for (PlannedRun& run : plan.runs) {
    const Scores& scores = all[run.candidate];
    const auto loss = scores.losses[static_cast<size_t>(run.seed - 42)];
    run.test = ++number;
    run.done = a_record(run, number, loss ? "ok" : "diverged");
    run.done->row.val_loss = loss;
    if (loss) run.done->row.bits_per_weight = scores.bits;
    run.done->row.train_s = 10.0 + static_cast<double>(number);
    run.done->row.time = "2026-01-02T03:04:05.000Z";
    run.done->row.description = "what it does";
  }
  return plan;
}

}  // namespace bitloop::baselines
