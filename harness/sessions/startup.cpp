// Start-up: the state of all sessions from the journal, the ledger from the sessions, the runs from
// the kernel.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "harness/base/temporary_folder.h"
#include "harness/base/text.h"
#include "harness/jobs/half_written.h"
#include "harness/sessions/records.h"
#include "harness/sessions/service_impl.h"
#include "harness/sessions/session_event.h"

namespace bitloop::sessions {
namespace {

constexpr int kLooksBeforeRest = 4;

}  // namespace

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() { stop(); }

void Service::stop() {
  impl_->stopping = true;
  for (const auto& session : impl_->all()) {
    const std::lock_guard guard(session->mutex);
    session->changed.notify_all();
  }
  if (impl_->resting) impl_->resting->stop();
  impl_->feeds.stop();
  if (impl_->progress) impl_->progress->stop();
  if (impl_->queue) impl_->queue->stop();
  if (impl_->checks) impl_->checks->stop();
}

Result<std::unique_ptr<Service>> Service::open(const ServiceOptions& options) {
  ServiceOptions settled = options;
  std::error_code error;
  settled.workspace = std::filesystem::absolute(options.workspace, error);
  BITLOOP_ASSIGN(lock, journal::WorkspaceLock::acquire(settled.workspace));
  auto impl = std::make_unique<Impl>(settled, std::move(lock));
  BITLOOP_ASSIGN(tasks, tasks::load_tasks(settled.share_dir));
  impl->tasks = std::move(tasks);
  BITLOOP_ASSIGN(files, SharedFiles::load(settled.share_dir));
  impl->files = std::move(files);
  BITLOOP_ASSIGN(journal, journal::Journal::open_or_create(impl->lock));
  impl->journal = std::move(journal);
  BITLOOP_ASSIGN(rows, impl->load_sessions());
  BITLOOP_TRY(impl->load_ledger(std::move(rows)));
  // A folder of a check whose host died is of no use to anybody once its run has ended.
  TemporaryFolder::remove_abandoned(settled.workspace / "runs", kCheckPrefix, jobs::run_is_alive);
  jobs::ReadyChecks::Options checks;
  checks.folder = settled.workspace / "runs";
  checks.prefix = kCheckPrefix;
  checks.most = static_cast<size_t>(settled.ready_checks);
  impl->checks = std::make_unique<jobs::ReadyChecks>(
      checks, [raw = impl.get()](const std::string& task) { return raw->ready_job(task); });
  impl->progress = std::make_unique<Progress>(
      [raw = impl.get()](const std::string& session) { return raw->feeds.is_heard(session); },
      [raw = impl.get()](const std::string& session, const EventPtr& record) {
        raw->feeds.add_progress(session, record);
      });
  impl->queue = std::make_unique<jobs::Queue>(settled.jobs);
  impl->adopt_runs();
  if (settled.rest_after.count() > 0)
    impl->resting = std::make_unique<Idle>(
        std::max(settled.rest_after / kLooksBeforeRest, std::chrono::milliseconds(1)),
        [raw = impl.get()] { raw->let_rest(); });
  return std::unique_ptr<Service>(new Service(std::move(impl)));
}

Result<std::vector<ledger::Row>> Service::Impl::load_sessions() {
  BITLOOP_ASSIGN(ids, journal->sessions());
  std::vector<ledger::Row> rows;
  uint64_t last = 0;  // a session's newest event has its largest number
  for (const std::string& id : ids) {
    BITLOOP_ASSIGN(head, journal->head(id));
    BITLOOP_ASSIGN(newest, journal->event(head));
    last = std::max(last, sequence_of(newest));
    BITLOOP_ASSIGN(session, load(head));
    const SessionState& state = *session->state;
    for (const TestRecord& test : state.tests) tried.add(state, test);
    for (ledger::Row& row : rows_of(state)) rows.push_back(std::move(row));
    budgets.charge(state.token, state.task, state.tests_charged());
    add(session);
    rest(*session);
  }
  feeds.continue_after(last);
  return rows;
}

void Service::Impl::let_rest() const {
  rest_unused(Session::Clock::now() - options.rest_after);
  journal->forget_what_was_read();
  if (options.after_look) options.after_look();
}

Status Service::Impl::load_ledger(std::vector<ledger::Row> rows) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ledger::Row& a, const ledger::Row& b) { return a.time < b.time; });
  const std::filesystem::path path = options.workspace / "results.tsv";
  auto opened = ledger::Ledger::open(path);
  if (!opened &&
      (opened.error().code == "ledger_header" || opened.error().code == "ledger_malformed")) {
    // Kept beside it: whoever edited the file may want it back.
    const std::filesystem::path aside = path.string() + ".unreadable";
    spdlog::warn("{}; moved to {} and rebuilt from the journal", opened.error().message,
                 aside.string());
    std::error_code ignored;
    std::filesystem::rename(path, aside, ignored);
    opened = ledger::Ledger::replace_with(path, rows);
  }
  if (!opened) return std::unexpected(opened.error());
  ledger = std::move(*opened);
  return ledger->rebuild(std::move(rows));
}

void Service::Impl::adopt_runs() {
  for (const auto& session : all()) {
    // The local session can have several: each `bitloop train` that was killed leaves one.
    std::vector<int64_t> running;
    const std::string& id = session->id;
    {
      const std::lock_guard guard(session->mutex);
      if (session->rests()) continue;  // nothing runs
      for (const TestRecord& test : session->state->tests)
        if (test.running()) running.push_back(test.number);
    }
    for (const int64_t number : running) {
      const std::filesystem::path folder = run_dir(id, number);
      if (jobs::run_is_alive(folder) || jobs::run_has_verdict(folder)) {
        spdlog::info("adopting the run of session {} test {}", id, number);
        progress->started(id, number, folder / "events.jsonl");
        queue->adopt({folder, nullptr, ending_of(session, number)});
      } else if (jobs::run_can_resume(folder)) {
        if (!options.resumes_runs) continue;
        const std::lock_guard guard(session->mutex);
        resume_run(session, number);
      } else {
        jobs::remove_half_written(folder);
        finish_test(session, number,
                    jobs::infrastructure_verdict("The host ended before the run did; test again."));
      }
    }
  }
}

}  // namespace bitloop::sessions
