// One trainer that was started for a check whose candidate is not known yet, with its folder, its
// supervisor and the pipe on which the candidate will come.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "harness/base/temporary_folder.h"
#include "harness/jobs/run_folder.h"

namespace bitloop::jobs {

// What a trainer was started with, or would be now: the job without its candidate, and the program.
// Two that are equal are as good as one another.
std::string trainer_identity(const nlohmann::json& job);

class ReadyTrainer {
 public:
  // Starts a supervisor with this job, whose candidate is left out. Returns before the trainer is
  // ready. Errors: those of TemporaryFolder::make, write_job and launch_supervisor.
  static Result<std::unique_ptr<ReadyTrainer>> start(const std::filesystem::path& parent,
                                                     std::string_view prefix, nlohmann::json job);
  // Ends it, if it has not ended: some ms.
  ~ReadyTrainer();
  ReadyTrainer(const ReadyTrainer&) = delete;
  ReadyTrainer& operator=(const ReadyTrainer&) = delete;

  const std::string& identity() const { return identity_; }
  bool ended();

  // Hands over the candidate (the job's member) and waits for the verdict, as wait_now. Nothing:
  // the trainer was gone, or did not take it; no candidate has been loaded, or it can't be known.
  // Call once.
  std::optional<Verdict> check(const nlohmann::json& candidate, int timeout_ms);

 private:
  ReadyTrainer(TemporaryFolder folder, std::string identity)
      : folder_(std::move(folder)), identity_(std::move(identity)) {}

  TemporaryFolder folder_;
  std::string identity_;
  UniqueFd pipe_;          // the write end, which nobody else has
  pid_t supervisor_ = -1;  // -1: collected
};

}  // namespace bitloop::jobs
