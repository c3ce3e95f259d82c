// The service's insides, shared by service.cpp (files and edits), service_runs.cpp (checks, tests,
// submissions), service_resume.cpp (runs that go on), service_repeats.cpp (answers given before),
// service_memory.cpp (what an agent is told of what was tried before), service_events.cpp (what
// listeners hear) and startup.cpp; service_resting.cpp (sessions that nobody asks for).
//
// Locks: `sessions_mutex` guards the map alone and is never held while another lock is taken or a
// file is written. Each session has a mutex of its own, held for a read or for one commit;
// `changed` is notified after every commit. `creation_mutex` is taken before any of them.
//
// In the order in which they are taken: creation_mutex, a part of the event cache, a session's
// mutex, Progress, Feeds, a Feed; whoever holds one takes only later ones. Those of Queue, Budgets
// and TriedTests, sessions_mutex and keyed_mutex come last: no other is taken while one of them is
// held. A commit settles its
// ticket (Feeds, Feed) under its session's mutex, and a test starts and ends being followed
// (Progress) there; a listener makes an event (event cache, session) while it holds nothing else.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "harness/editor/document.h"
#include "harness/editor/edits.h"
#include "harness/jobs/fair_slots.h"
#include "harness/jobs/queue.h"
#include "harness/jobs/ready_checks.h"
#include "harness/journal/journal.h"
#include "harness/ledger/ledger.h"
#include "harness/sessions/budgets.h"
#include "harness/sessions/event_cache.h"
#include "harness/sessions/feeds.h"
#include "harness/sessions/files.h"
#include "harness/sessions/idle.h"
#include "harness/sessions/job.h"
#include "harness/sessions/progress.h"
#include "harness/sessions/service.h"
#include "harness/sessions/session.h"
#include "harness/sessions/short_digest.h"
#include "harness/sessions/state.h"
#include "harness/sessions/tried.h"

namespace bitloop::sessions {

// Begins the name of a check's folder in runs/.
constexpr std::string_view kCheckPrefix = "check-";

FileInfo file_info(const editor::Document& document);

struct Service::Impl {
  Impl(const ServiceOptions& opened, journal::WorkspaceLock taken)
      : options(opened), lock(std::move(taken)) {}

  // The session, which may rest. Error: "session_not_found".
  Result<std::shared_ptr<Session>> find(std::string_view id) const;
  std::vector<std::shared_ptr<Session>> all() const;
  // The session locked and awake. Errors: those of find and load.
  Result<HeldSession> hold(std::string_view id) const;
  Result<HeldSession> hold(std::shared_ptr<Session> session) const;

  // A new session. Requires: awake, and known to no other thread.
  void add(const std::shared_ptr<Session>& session);
  // A session as its newest commit has it. Errors: those of Journal::read, "journal_unreadable".
  Result<std::shared_ptr<Session>> load(const std::string& head) const;
  // Brings back what is not in memory. Errors: those of load. Requires: session locked.
  Status wake(Session& session) const;
  // Lets go of what a list does not show, unless a test runs. Requires: session locked.
  static void rest(Session& session);
  // The same for all that nobody asked for since `before`; how many there were.
  size_t rest_unused(Session::Clock::time_point before) const;
  ListedSession as_listed(const Session& session) const;  // Requires: session locked

  // Error: "task_not_found".
  Result<tasks::Task> find_task(std::string_view name) const;
  // Looks for the model that the task's runs begin with, if it has one that was not found yet.
  // Error: "init_unavailable".
  Status find_initial_model(tasks::Task& task, const nlohmann::json& preset) const;
  // What was measured for the session's task; empty when the task is no more.
  const tasks::BaselineTable& table_of(const SessionState& state) const;
  // What a new session begins with: the quantizer that the request names, or the test to fork.
  struct Start {
    std::string candidate, task, quantizer, forked_from;
  };
  // Errors: those of Service::create.
  Result<Start> start_of(const NewSession& request) const;
  // The id's own, to be read without holding its lock any longer. Errors: "session_not_found".
  Result<SessionState> state_of(std::string_view id) const;
  // Commits a change of a session's tags. Requires: session locked.
  Result<TagsView> change_tags(Session& session, const Tag& tag, bool add, const Terms& terms);

  // Errors that keep a session from being written to: the command line's, not at the expected
  // commit, closed. Requires: session locked.
  Status check_writable(const Session& session, const Terms& terms) const;
  // The same, and those that keep its candidate from changing: testing. Requires: session locked.
  Status check_changeable(const Session& session, const Terms& terms) const;
  // Commits a session's first event and adds the session. Errors: those of
  // Journal::create_session.
  Result<std::shared_ptr<Session>> begin_session(SessionState state, journal::Event event,
                                                 editor::Document document);
  // Commits an event with this state and candidate, and makes them the session's. Requires: session
  // locked.
  Status commit(Session& session, journal::Event event, SessionState state,
                editor::Document document);

  // The answer after the candidate changed as a whole (undo, revert). Requires: session locked.
  EditAnswer whole_answer(const Session& session, std::string message) const;
  // Requires: session locked.
  Result<EditAnswer> revert(Session& session, const std::string& commit, std::string_view target,
                            const Terms& terms);
  // Tests that may still be started: of the session's, and of its token's on the task. Requires:
  // session locked.
  int64_t tests_left(const Session& session) const;
  // Charged tests of the token's other sessions on the task; 0 without a token.
  int64_t tests_elsewhere(const std::string& token, const std::string& task,
                          int64_t charged_here) const;
  int64_t tests_elsewhere(const SessionState& state) const;
  SessionView describe(const Session& session) const;  // Requires: session locked
  TestView describe(const Session& session,
                    const TestRecord& test) const;  // Requires: session locked

  // The commit of the event of this kind that was done under the terms' key, or nothing. Error:
  // "key_reused". Requires: session locked.
  Result<std::optional<std::string>> done_before(Session& session, std::string_view kind,
                                                 const Terms& terms) const;
  // Keys are held for the sessions that last had any; for others they are read again. It tries the
  // lock of another session and never waits for it.
  void forget_oldest_keys(const std::string& newest) const;
  // What was answered when these commits were made.
  // Requires: session locked.
  Result<EditAnswer> edit_again(const Session& session, const std::string& commit) const;
  Result<TestView> test_again(const std::string& commit) const;
  Result<TestView> submission_again(const std::string& commit) const;
  // Requires: session locked.
  Result<nlohmann::ordered_json> check_again(const Session& session,
                                             const std::string& commit) const;
  // Where `created_under` has a session of this token and key.
  static ShortDigest creation_digest(const std::string& token, const std::string& key);
  // The session that this token made under this key, as it was when it was made. Error:
  // "key_reused".
  Result<std::optional<SessionView>> created_before(const std::string& token,
                                                    const Terms& terms) const;
  // A session as it was at one of its commits.
  Result<std::unique_ptr<Session>> as_of(const std::string& commit) const;

  // The check of a task, without session and candidate. Errors: "task_not_found", those of
  // load_preset.
  Result<JobRequest> check_request(const std::string& task) const;
  // The same as a job, for a trainer that is kept ready. Error: "too_large" for a preset whose
  // trainer would hold much memory while it waits.
  Result<nlohmann::json> ready_job(const std::string& task) const;

  // What listeners hear.
  // A session's commits, or all sessions' in their order, oldest first.
  Result<std::vector<PastEvent>> past_of(std::string_view session) const;
  // A commit as it is sent. Errors: those of Journal::event.
  Result<EventPtr> stream_event(const FeedCommit& commit) const;

  // Start-up.
  // Returns the ledger's rows, by session.
  Result<std::vector<ledger::Row>> load_sessions();
  Status load_ledger(std::vector<ledger::Row> rows);
  void adopt_runs();
  // Afterwards, now and then.
  void let_rest() const;

  // Commits test-started, then queues the run. Of `test` the seed and the description count, and
  // what a run of the command line has of its own. Requires: session locked.
  Result<TestView> begin_test(const std::shared_ptr<Session>& session, const tasks::Task& task,
                              const nlohmann::json& preset, TestRecord test, const Terms& terms);
  // Writes the end of a test: commit, then row, then wake-up. Tries again while the disk refuses.
  void finish_test(const std::shared_ptr<Session>& session, int64_t number,
                   const jobs::Verdict& verdict);
  // The same as the queue's run calls it.
  std::function<void(const jobs::Verdict&)> ending_of(const std::shared_ptr<Session>& session,
                                                      int64_t number);
  // Queues a run that was killed, to go on from its newest checkpoint. Requires: session locked.
  void resume_run(const std::shared_ptr<Session>& session, int64_t number);
  // Takes back the end of a run, so that it is one that was killed. Requires: session locked.
  Status reopen(Session& session, const TestRecord& test);
  Status try_finish(Session& session, int64_t number, const jobs::Verdict& verdict);
  std::filesystem::path run_dir(std::string_view id, int64_t test) const;
  // Who takes turns in queues: a token with all its sessions, or a session that has none.
  static const std::string& owner_of(const SessionState& state) {
    return state.token.empty() ? state.id : state.token;
  }

  ServiceOptions options;
  journal::WorkspaceLock lock;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<ledger::Ledger> ledger;
  std::vector<tasks::Task> tasks;
  SharedFiles files;
  mutable std::mutex sessions_mutex;
  std::map<std::string, std::shared_ptr<Session>, std::less<>>
      sessions;               // shared: readers outlive the map's lock
  std::mutex creation_mutex;  // a session is made once under a key
  // Which session was made under which key, by creation_digest. Guarded by sessions_mutex.
  std::map<ShortDigest, std::shared_ptr<Session>> created_under;
  mutable std::mutex keyed_mutex;
  mutable std::deque<std::string> keyed;  // sessions that hold their keys, oldest first
  Budgets budgets;                        // of tokens
  jobs::FairSlots check_slots{2};         // checks beside a running test
  std::atomic<bool> stopping{false};
  mutable Feeds feeds;
  mutable EventCache event_cache;  // of stream_event
  TriedTests tried;                // what agents are reminded of
  std::unique_ptr<Progress> progress;
  std::unique_ptr<jobs::ReadyChecks> checks;
  std::unique_ptr<jobs::Queue> queue;  // its threads use all of the above
  std::unique_ptr<Idle> resting;       // last, for the same reason
};

}  // namespace bitloop::sessions
