// The service's insides, shared by service.cpp (files and edits) and service_tests.cpp (checks,
// tests, submissions).
//
// Locks: `sessions_mutex` guards the map alone and is never held while another lock is taken or a
// file is written. Each session has a mutex of its own, held for a read or for one commit;
// `changed` is notified after every commit.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <semaphore>

#include "harness/editor/document.h"
#include "harness/editor/edits.h"
#include "harness/jobs/queue.h"
#include "harness/journal/journal.h"
#include "harness/ledger/ledger.h"
#include "harness/sessions/files.h"
#include "harness/sessions/service.h"
#include "harness/sessions/state.h"

namespace bitloop::sessions {

struct Session {
  Session(SessionState start, editor::Document candidate, std::string commit)
      : state(std::move(start)), document(std::move(candidate)), head(std::move(commit)) {}

  std::mutex mutex;
  std::condition_variable changed;
  // All below: guarded by mutex.
  SessionState state;
  editor::Document document;  // the candidate
  std::string head;           // the newest commit
};

struct Service::Impl {
  Impl(const ServiceOptions& opened, journal::WorkspaceLock taken)
      : options(opened), lock(std::move(taken)) {}

  Result<std::shared_ptr<Session>> find(std::string_view id) const;
  std::vector<std::shared_ptr<Session>> all() const;

  // Errors that keep a session from changing: closed, testing, or not at the expected commit.
  // Requires: session locked.
  Status check_changeable(const Session& session, Expected expected) const;
  // Commits an event with this state and candidate, and makes them the session's. Requires: session
  // locked.
  Status commit(Session& session, journal::Event event, SessionState state,
                editor::Document document);

  // The answer after the candidate changed as a whole (undo, revert). Requires: session locked.
  EditAnswer whole_answer(const Session& session, std::string message) const;
  Result<EditAnswer> revert(std::string_view id, const std::string& commit, std::string_view target,
                            Expected expected);
  SessionView describe(const Session& session) const;  // Requires: session locked
  TestView describe(const Session& session,
                    const TestRecord& test) const;  // Requires: session locked

  // Start-up.
  Status load_sessions();
  Status load_ledger();
  void adopt_runs();

  // Commits test-started, then queues the run. Requires: session locked.
  Result<TestView> begin_test(const std::shared_ptr<Session>& session, const tasks::Task& task,
                              const nlohmann::json& preset, int64_t seed,
                              std::string_view description);
  // Writes the end of a test: commit, then row, then wake-up. Tries again while the disk refuses.
  void finish_test(const std::shared_ptr<Session>& session, int64_t number,
                   const jobs::Verdict& verdict);
  Status try_finish(Session& session, int64_t number, const jobs::Verdict& verdict);
  std::filesystem::path run_dir(std::string_view id, int64_t test) const;

  ServiceOptions options;
  journal::WorkspaceLock lock;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<ledger::Ledger> ledger;
  std::vector<tasks::Task> tasks;
  SharedFiles files;
  mutable std::mutex sessions_mutex;
  std::map<std::string, std::shared_ptr<Session>, std::less<>>
      sessions;                              // shared: readers outlive the map's lock
  std::counting_semaphore<> check_slots{2};  // checks beside a running test
  std::atomic<bool> stopping{false};
  std::unique_ptr<jobs::Queue> queue;  // last: its threads use all of the above
};

}  // namespace bitloop::sessions
