// The benchmarks that a task may ask of a trained model: one small Lua file each in <share>/eval
// (trainer/eval/tasks), and the user's folder of documents that they are asked on.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tasks {

// Documents' files that a jail has room for.
inline constexpr size_t kMostDocumentFiles = 20;

// Sorted; empty where there is no such folder.
std::vector<std::string> benchmark_names(const std::filesystem::path& share_dir);

// [{path, content}] of the named ones, in their order. Errors: "unknown_benchmark", those of files.
Result<nlohmann::json> load_benchmarks(const std::filesystem::path& share_dir,
                                       const std::vector<std::string>& names);

// The .jsonl files of a folder, sorted; none where there is no such folder.
std::vector<std::filesystem::path> benchmark_documents(const std::filesystem::path& folder);

// GPT-2's merges, which tokenize them.
std::filesystem::path benchmark_vocabulary(const std::filesystem::path& share_dir);

// $XDG_DATA_HOME/bitloop/benchmarks (~/.local/share/bitloop/benchmarks).
std::filesystem::path default_benchmarks();

// The member `benchmarks` of a job (trainer/eval/benchmarks.h): tasks as load_benchmarks gave them,
// at most `limit` documents of each (0: all).
nlohmann::json job_benchmarks(const nlohmann::json& tasks, const std::filesystem::path& share_dir,
                              const std::filesystem::path& documents, int64_t limit);

}  // namespace bitloop::tasks
