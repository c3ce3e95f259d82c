// A run of several machines, as those processes do it that are not rank 0.
#pragma once

#include <atomic>

#include "harness/cli/common.h"
#include "harness/cli/rank_environment.h"

namespace bitloop::cli {

// Lets the preset of this run say which rank this process is. Errors: "wrong_usage" (`ranks` was
// asked for as well, or the jail must be whole), "bad_preset".
Status join_ranks(const RankEnvironment& environment, const Overrides& overrides,
                  bool allow_degraded, nlohmann::json& preset);

// Trains along, in a temporary folder, and keeps nothing: run, row and files are rank 0's. Returns
// how the trainer ended here, as a verdict's status and message. Errors: those of TemporaryFolder.
struct Followed {
  std::string status, message;
};
Result<Followed> follow(const Target& target, int64_t seed, bool allow_degraded,
                        const std::atomic<bool>& interrupted);

}  // namespace bitloop::cli
