// One run's folder (docs/architecture.md): its files, whether it lives, how it ended, and how a
// supervisor is started in it.
//
// Liveness is asked of the kernel. The host locks `launch.lock` before it starts a supervisor and
// the supervisor inherits the open file, so there is no moment between the host's decision and the
// supervisor's end at which a living run looks dead, whoever is killed when. (`supervisor.lock`,
// which the supervisor takes itself, counts too.)
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::jobs {

// Answers to the benchmarks, document by document: lines {task, first, documents:
// [{log_probabilities, greedy, gold, tokens}]}.
inline constexpr const char* kDocumentsFile = "documents.jsonl";

// How a run ended: verdict.json as far as the host uses it.
struct Verdict {
  std::string status;              // "ok", "script_error", …, "infrastructure"
  std::string message;             // one sentence
  nlohmann::json result;           // the trainer's result record, or null
  std::vector<std::string> flags;  // "leaks", "degraded", …
  nlohmann::json jail;             // layers, exit code, times, memory; or null
};

// A verdict of the host's own, for a run that could not be started or left none.
Verdict infrastructure_verdict(std::string message);

// Makes the folder (it may exist) and writes job.json atomically; `durable`: it survives a crash of
// the machine.
Status write_job(const std::filesystem::path& run_dir, const nlohmann::json& job,
                 bool durable = true);

// Starts a supervisor for the folder in a session (setsid) of its own, so that it outlives this
// process, with standard streams on /dev/null and supervisor.log. The program is this one
// (`supervise RUN_DIR`), or what the environment variable BITLOOP_SUPERVISOR names (a hook for
// tests; called with RUN_DIR alone). `input` is its standard input, -1: /dev/null. Returns its
// process id, which the caller reaps (reap_supervisor). Errors: "already_running", those of
// errno_error.
Result<pid_t> launch_supervisor(const std::filesystem::path& run_dir, int input = -1);

// Collects the exit status of an ended child without waiting; true when there is nothing left to
// collect.
bool reap_supervisor(pid_t pid);

// Whether a supervisor holds the folder.
bool run_is_alive(const std::filesystem::path& run_dir);
// Whether verdict.json is there.
bool run_has_verdict(const std::filesystem::path& run_dir);
// Whether a run without a verdict that no longer lives can be started again: its job wants
// checkpoints (checkpoint.every), from which it goes on. launch_supervisor() does it.
bool run_can_resume(const std::filesystem::path& run_dir);
// Reads verdict.json; one that is missing or damaged gives status "infrastructure" with a sentence
// saying so. To be called once the run no longer lives.
Verdict read_verdict(const std::filesystem::path& run_dir);

}  // namespace bitloop::jobs
