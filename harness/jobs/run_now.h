// Runs that somebody waits for (the free checks): performed at once, in the calling thread, beside
// the queue.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "harness/jobs/run_folder.h"

namespace bitloop::jobs {

// Performs one run to its end: launches, waits, returns the verdict. After `timeout_ms` the
// supervisor is told to stop (SIGTERM, then SIGKILL) and the verdict is "timeout"; the same when
// `interrupted` becomes true, with the verdict "cancelled".
Verdict run_now(const std::filesystem::path& run_dir, const nlohmann::json& job, int timeout_ms,
                const std::atomic<bool>* interrupted = nullptr);

// The second half of it: waits for a supervisor that was launched, and collects it. Requires: it is
// a child of this process that nobody else collects.
Verdict wait_now(const std::filesystem::path& run_dir, pid_t supervisor, int timeout_ms,
                 const std::atomic<bool>* interrupted = nullptr);

}  // namespace bitloop::jobs
