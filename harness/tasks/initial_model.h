// The trained model that a run begins with: `bitloop train --init-from`, or a task's `init_from`.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tasks {

// Where a model may lie that is not named by an absolute path.
struct ModelPlaces {
  std::vector<std::filesystem::path> folders;  // looked through in this order
  std::filesystem::path workspace;             // whose runs are named SESSION/TEST
};

// Finds a model: the folder of a run or SESSION/TEST, the weights.safetensors of a run, or a folder
// of Hugging Face (config.json and safetensors, also in parts). Returns a job's member `init_from`
// (docs/architecture.md): {"path" as given, "kind": "run" or "huggingface", "sha256", "config",
// "files": [{"path", "file" (absolute), "sha256"}]}. Hashes of files that have not changed are
// remembered. Thread-safe. Errors: "init_unavailable", one sentence: what is not there or can't be
// read, or in what a run's model differs from `preset`.
Result<nlohmann::json> find_initial_model(const std::string& given, const ModelPlaces& places,
                                          const nlohmann::json& preset);

// The job.json of such a model where it is a run's; null where it is none, or is not there.
nlohmann::json job_of_model(const std::string& given, const ModelPlaces& places);
// The folder of such a run; empty where there is none.
std::filesystem::path run_of_model(const std::string& given, const ModelPlaces& places);

}  // namespace bitloop::tasks
