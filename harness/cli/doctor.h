// `bitloop doctor`: what is looked at, one line each. Nothing here changes anything but repair().
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::cli {

enum class Health { kOk, kWarning, kProblem };

struct Check {
  std::string name;  // "ledger"
  Health health = Health::kOk;
  std::string detail;  // what was found
  std::string advice;  // what to do; "" where nothing needs to be done
};

struct DoctorOptions {
  std::filesystem::path workspace;
  std::filesystem::path benchmarks;
  bool server = false;  // one holds the workspace, so what lies about may be its own
};

// Whether a process holds the workspace's lock.
bool workspace_is_held(const std::filesystem::path& workspace);

// The folder, its disk, journal, ledger and runs.
std::vector<Check> check_workspace(const DoctorOptions& options);
// The jail's layers, the trainer, the share folder, data and benchmarks.
std::vector<Check> check_machine(const DoctorOptions& options);

// Takes the workspace, rebuilds the ledger from the journal, removes what killed processes left in
// the journal and the runs' folders that no session names; one sentence for each thing done.
// Errors: "workspace_in_use", those of the journal and the ledger.
Result<std::vector<std::string>> repair(const std::filesystem::path& workspace);

}  // namespace bitloop::cli
