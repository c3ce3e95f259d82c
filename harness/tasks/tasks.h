// Tasks: what is optimised. A task names a preset (model, data, schedule) and adds a budget and
// rules. Plain data in <share>/tasks/*.json, one task a file, read at start-up and checked in full.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/tasks/baselines.h"
#include "harness/tasks/early_stop.h"

namespace bitloop::tasks {

// Both ends belong to the interval.
struct Bounds {
  double low = 0;
  double high = 0;
};

struct Rules {
  bool quantize_head = false;  // the tied head is a BitLinear layer too
  bool paper_compat =
      false;  // activation scales across rows are allowed; such rows carry the flag `leaks`
  std::optional<int64_t> seed;  // of the training run; absent: the preset's train.seed
};

struct Task {
  std::string name;
  std::string preset;
  std::string description;
  Rules rules;
  int tests = 3;                                 // budget of a session
  std::map<std::string, Bounds> allowed_config;  // what Q.config may set, and within which bounds
  // Asked of a trained model, by name (harness/tasks/benchmarks.h); empty: none.
  std::vector<std::string> benchmarks;
  nlohmann::json benchmark_files = nlohmann::json::array();  // load_benchmarks of them
  nlohmann::json baselines = nlohmann::json::array();  // [{name, val_loss, source}]: what to beat
  BaselineTable measured;                              // the shipped table of the task's name
  std::optional<EarlyStop> early_stop;                 // hopeless tests end early; absent: never
  std::string init_from;         // the model that runs begin with (initial_model.h); "": none
  nlohmann::json initial_model;  // what was found of it; null until it is looked for
};

// The API's document of a task: the members of the file, `budget` = {tests}; `baselines` has the
// measured ones, too ({name, bits_per_weight, val_loss, val_loss_sd, seeds, source}), `noise_floor`
// is null without them, `early_stop` (early_stop.h) where no test is ended early.
nlohmann::json to_json(const Task& task);
// The `rules` member of job.json: quantize_head, paper_compat, allowed_config.
nlohmann::json job_rules(const Task& task);

// All tasks, sorted by name; every preset they name is loaded and checked too.
// Errors: "bad_task", "bad_preset" (file and key in the message), "bad_baselines" (file and line),
// "file_not_found", "io_error".
Result<std::vector<Task>> load_tasks(const std::filesystem::path& share_dir);

}  // namespace bitloop::tasks
