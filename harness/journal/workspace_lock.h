// A workspace (journal.git, results.tsv, runs/) is written by one process at a time. Who holds the
// lock is asked of the kernel (flock), so a killed owner leaves nothing to clean up.
#pragma once

#include <filesystem>

#include "harness/base/fd.h"

namespace bitloop::journal {

// Holds the workspace for as long as it lives. Children started by exec do not inherit it.
class WorkspaceLock {
 public:
  // Makes the folder if it is not there, and takes its lock without waiting.
  // Errors: "workspace_in_use" (the message has the owner's process id), "io_error", "disk_full",
  // "file_not_found".
  static Result<WorkspaceLock> acquire(const std::filesystem::path& workspace);

  const std::filesystem::path& workspace() const { return workspace_; }

 private:
  WorkspaceLock(std::filesystem::path workspace, UniqueFd fd)
      : workspace_(std::move(workspace)), fd_(std::move(fd)) {}

  std::filesystem::path workspace_;
  UniqueFd fd_;
};

}  // namespace bitloop::journal
