// Performs a plan: as ordinary runs of the service, a few at a time, each journaled and in the
// ledger. Nothing is kept here: who calls it again after a kill takes up the records and goes on.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "harness/baselines/plan.h"
#include "harness/sessions/service.h"

namespace bitloop::baselines {

struct RunnerOptions {
  std::string type = "baseline";  // of the ledger's rows
  size_t jobs = 1;                // runs at a time
  const std::atomic<bool>* interrupted = nullptr;
};

struct RunnerEvents {
  // Some 5 times a second, with the runs that are under way.
  std::function<void(const std::vector<const PlannedRun*>&)> on_poll = {};
  std::function<void(const PlannedRun&)> on_end = {};  // run.done is set
};

// Starts a run of the plan on the command line's session of this type, and notes where it is.
// Errors: those of Service::start_local.
Status start_run(const Plan& plan, PlannedRun& run, sessions::Service& service,
                 const std::string& type);

// Runs what the plan lacks and fills in how each ended. Of the records of the service's workspace
// those that are still running are waited for. A run that the machine failed ("infrastructure") is
// tried once more. Errors: "infrastructure" (failed twice: the message says which and why),
// "interrupted" (what ran was cancelled), those of the service.
Status perform(Plan& plan, sessions::Service& service, const std::filesystem::path& workspace,
               const RunnerOptions& options, const RunnerEvents& events);

}  // namespace bitloop::baselines
