// What jobs on a model that is there have in common, on the host's side: its files, opened for a
// jail that sees no folders, and the records that come back.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "harness/shell/process.h"

namespace bitloop::evaluation {

using Json = nlohmann::ordered_json;

inline constexpr const char* kWeights = "output/weights.safetensors";  // of a run
inline constexpr const char* kWhole = "model.safetensors";             // of Hugging Face
inline constexpr const char* kTokenizer = "tokenizer.json";            // likewise
inline constexpr const char* kTokenizerSettings = "tokenizer_config.json";

// Files for the jail, and what its job calls them: {"path": name, "fd": number}.
class Files {
 public:
  // Errors: those of open_regular.
  Result<Json> open(const std::filesystem::path& path, const std::string& name);
  Json add(UniqueFd fd, const std::string& name);
  const std::vector<UniqueFd>& fds() const { return fds_; }

 private:
  std::vector<UniqueFd> fds_;
};

// The job of a finished run. Errors: "wrong_usage", those of files.
Result<Json> run_job(const std::filesystem::path& folder);

// A model as a job describes it (trainer/loop/subject.h): of a Hugging Face folder, a run's folder
// or a packed model. Error "wrong_usage" names what is missing.
Result<Json> model_of(const std::filesystem::path& path, Files& files);

// Takes the records of a jail up to its result, which is what comes back. `what`: the work, in
// messages. Errors: the result's, "infrastructure".
Status follow(shell::Process& process, const char* what,
              const std::function<void(const Json&)>& take);

}  // namespace bitloop::evaluation
