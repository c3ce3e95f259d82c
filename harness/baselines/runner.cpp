#include "harness/baselines/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>

#include "harness/sessions/records.h"

namespace bitloop::baselines {
namespace {

constexpr int64_t kPollMs = 200;
constexpr int kAttempts = 2;  // of a run that the machine failed

class Runner {
 public:
  Runner(Plan& plan, sessions::Service& service, const std::filesystem::path& workspace,
         const RunnerOptions& options, const RunnerEvents& events)
      : plan_(plan), service_(service), workspace_(workspace), options_(options), events_(events) {}

  Status perform() {
    for (PlannedRun& run : plan_.runs) {
      if (run.done) continue;
      // One that was killed goes on if it can; what lives was adopted.
      if (run.test > 0) (void)service_.resume_local(run.session, run.test);
      (run.test > 0 ? under_way_ : waiting_).push_back(&run);
    }
    while (!under_way_.empty() || !waiting_.empty()) {
      if (interrupted()) return cancel_all();
      while (under_way_.size() < options_.jobs && !waiting_.empty()) BITLOOP_TRY(start());
      BITLOOP_TRY(wait());
    }
    return {};
  }

 private:
  bool interrupted() const { return options_.interrupted != nullptr && *options_.interrupted; }

  Status start() {
    PlannedRun& run = *waiting_.front();
    BITLOOP_TRY(start_run(plan_, run, service_, options_.type));
    ++attempts_[&run];
    waiting_.pop_front();
    under_way_.push_back(&run);
    return {};
  }

  // Waits a moment for the run that is longest under way, then takes up all that have ended.
  Status wait() {
    std::vector<PlannedRun*> ended;
    for (PlannedRun* run : under_way_) {
      BITLOOP_ASSIGN(
          view, service_.test(run->session, run->test, run == under_way_.front() ? kPollMs : 0));
      if (view.status != sessions::kRunning) ended.push_back(run);
    }
    for (PlannedRun* run : ended) {
      std::erase(under_way_, run);
      BITLOOP_TRY(finish(*run));
    }
    if (events_.on_poll) events_.on_poll({under_way_.begin(), under_way_.end()});
    return {};
  }

  Status finish(PlannedRun& run) {
    BITLOOP_ASSIGN(records, sessions::read_records(workspace_, run.session));
    const auto record = std::ranges::find(records, run.test, &sessions::TestRecord::number);
    if (record == records.end() || record->running())
      return fail("internal", fmt::format("Test #{} of session {} has ended but is not written "
                                          "down; start the command again.",
                                          run.test, run.session));
    if (record->status != sessions::kInfrastructure) {
      run.done = std::move(*record);
      if (events_.on_end) events_.on_end(run);
      return {};
    }
    if (attempts_[&run] < kAttempts) {
      run.test = 0;
      waiting_.push_front(&run);
      return {};
    }
    return fail("infrastructure",
                fmt::format("{} with seed {} failed {} times, not by its own fault ({}); repair "
                            "that and start the command again: it goes on where it stopped.",
                            plan_.candidates[run.candidate].name, run.seed, kAttempts,
                            record->stages.substr(record->stages.rfind('\n') + 1)));
  }

  Status cancel_all() {
    size_t alive = 0;
    for (const PlannedRun* run : under_way_) {
      if (!service_.cancel(run->session, run->test)) {
        ++alive;  // an adopted run ends by itself; the next start finds it
        continue;
      }
      while (service_.test(run->session, run->test, kPollMs)->status == sessions::kRunning) {
      }
    }
    return fail("interrupted", fmt::format("Interrupted with {} of {} runs done{}; the same "
                                           "command goes on from there.",
                                           plan_.runs.size() - plan_.left(), plan_.runs.size(),
                                           alive > 0 ? " and one still running by itself" : ""));
  }

  Plan& plan_;
  sessions::Service& service_;
  const std::filesystem::path& workspace_;
  const RunnerOptions& options_;
  const RunnerEvents& events_;
  std::deque<PlannedRun*> waiting_;
  std::deque<PlannedRun*> under_way_;
  std::map<const PlannedRun*, int> attempts_;
};

}  // namespace

Status start_run(const Plan& plan, PlannedRun& run, sessions::Service& service,
                 const std::string& type) {
  const Candidate& candidate = plan.candidates[run.candidate];
  BITLOOP_ASSIGN(view, service.start_local({candidate.text, candidate.name, candidate.description,
                                            plan.task, plan.preset, run.seed, type}));
  run.session = type;
  run.test = view.test;
  return {};
}

Status perform(Plan& plan, sessions::Service& service, const std::filesystem::path& workspace,
               const RunnerOptions& options, const RunnerEvents& events) {
  return Runner(plan, service, workspace, options, events).perform();
}

}  // namespace bitloop::baselines
