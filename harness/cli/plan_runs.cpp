#include "harness/cli/plan_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>

#include "harness/base/paths.h"
#include "harness/base/version.h"
#include "harness/baselines/runner.h"
#include "harness/cli/plan_progress.h"
#include "harness/sessions/job.h"
#include "harness/sessions/records.h"

namespace bitloop::cli {
namespace {

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<bool> interrupted{false};
volatile std::sig_atomic_t received = 0;

void on_signal(int signal) {
  received = signal;
  interrupted = true;
}

}  // namespace

Result<baselines::Plan> make_plan(const PlanRequest& request) {
  std::vector<baselines::Candidate> candidates;
  std::map<std::string, int> names;
  Target target;
  for (const std::filesystem::path& file : request.files) {
    BITLOOP_ASSIGN(loaded, load_target(file, request.preset));
    target = std::move(loaded);
    ++names[target.name];
    candidates.push_back({target.name, target.candidate});
  }
  for (size_t i = 0; i < candidates.size(); ++i)
    if (names[candidates[i].name] > 1) candidates[i].name = request.files[i].string();
  BITLOOP_TRY(apply_overrides(request.overrides, target.preset));
  BITLOOP_TRY(find_initial_model("", default_workspace(), target));
  const int64_t seed = sessions::default_seed(target.task, target.preset);
  return baselines::make_plan(target.task, target.preset, std::move(candidates), seed,
                              request.seeds);
}

Status take_earlier_runs(baselines::Plan& plan, const TrainPlan& options) {
  for (const std::string& session : options.sessions) {
    BITLOOP_ASSIGN(records, sessions::read_records(options.workspace, session));
    baselines::take_records(plan, session, records, fmt::format("{}+{}", version(), git_hash()));
  }
  return {};
}

Status train_plan(baselines::Plan& plan, const TrainPlan& options) {
  if (const auto layers = probe_sandbox(options.allow_degraded); !layers)
    return std::unexpected(layers.error());
  BITLOOP_ASSIGN(service, sessions::Service::open({options.workspace, share_dir(),
                                                   static_cast<int>(options.jobs),
                                                   options.allow_degraded, 0, options.benchmarks}));
  // Again, now that what had died was written down and what lives was adopted.
  BITLOOP_TRY(take_earlier_runs(plan, options));
  for (const int signal : kStopSignals) std::signal(signal, on_signal);
  PlanProgress progress(stderr, plan, options.workspace / "runs");
  if (const size_t done = plan.runs.size() - plan.left(); done > 0)
    fmt::print(stderr, "{} of {} runs were done before.\n", done, plan.runs.size());
  const auto performed = baselines::perform(
      plan, *service, options.workspace, {options.type, options.jobs, &interrupted},
      {[&](const auto& under_way) { progress.poll(under_way); },
       [&](const auto& run) { progress.ended(run); }});
  progress.finish();
  return performed;
}

int end_by_signal(int code) {
  if (received == 0) return code;
  std::signal(received, SIG_DFL);
  std::raise(received);
  return code;
}

}  // namespace bitloop::cli
