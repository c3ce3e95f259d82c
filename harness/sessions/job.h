// job.json: all that a run knows (docs/architecture.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/tasks/tasks.h"

namespace bitloop::sessions {

struct JobRequest {
  const char* kind = "train";  // or "check", "quantize"
  std::string session;
  int64_t test = 0;
  std::string candidate;
  tasks::Task task;
  nlohmann::json preset;
  int64_t seed = 0;
  std::filesystem::path share_dir;
  bool allow_degraded = false;
  std::filesystem::path benchmarks = {};  // folder of documents for the task's benchmarks
  bool may_stop_early = false;            // where the task has a rule for it
};

// The seed of a run: the task's, else the preset's train.seed.
int64_t default_seed(const tasks::Task& task, const nlohmann::json& preset);

// What a run trains, as 40 hexadecimal digits: the candidate's text, the preset (but for its
// description and limits), the rules, the seed and the model that it begins with. Two runs of one
// fingerprint are repetitions.
std::string fingerprint(std::string_view candidate, const tasks::Task& task,
                        const nlohmann::json& preset, int64_t seed);

// Where a run's files are.
std::filesystem::path run_dir(const std::filesystem::path& workspace, std::string_view session,
                              int64_t test);

nlohmann::json make_job(const JobRequest& request);

// "brave-otter-1f3a"
std::string make_session_id();

}  // namespace bitloop::sessions
