// A session in memory. One that is at work is there as a whole; of one that rests, because nobody
// asked for it for a while, only what a list of sessions shows. The rest is read again from the
// journal, in a few milliseconds, when it is asked for (Impl::hold). So what a server holds grows
// with the sessions that are at work, and by some hundred bytes for each that ever was.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/editor/document.h"
#include "harness/sessions/request_keys.h"
#include "harness/sessions/state.h"
#include "harness/sessions/tag.h"

namespace bitloop::sessions {

// What a list shows of a session that rests.
struct SessionCard {
  explicit SessionCard(const SessionState& state)
      : task(state.task),
        agent(state.agent),
        created(state.created),
        tags(state.tags),
        tests_left(state.tests_left()),
        tests_charged(state.tests_charged()),
        closed(state.closed) {}

  std::string task, agent, created;
  std::vector<Tag> tags;
  int64_t tests_left;  // whatever happens in other sessions
  int64_t tests_charged;
  bool closed;
};

struct Session {
  using Clock = std::chrono::steady_clock;

  Session(SessionState start, editor::Document candidate, std::string commit)
      : id(start.id),
        token(start.token),
        state(std::make_unique<SessionState>(std::move(start))),
        document(std::move(candidate)),
        head(std::move(commit)) {}

  // Those of the state, which never change: to be read without the lock.
  const std::string id;
  const std::string token;
  std::mutex mutex;
  std::condition_variable changed;
  // All below: guarded by mutex.
  std::unique_ptr<SessionState> state;       // null: it rests
  std::optional<editor::Document> document;  // the candidate; none: it rests
  std::unique_ptr<SessionCard> card;         // while it rests
  std::string head;                          // the newest commit
  std::unique_ptr<RequestKeys> keys;      // read from the journal when a request with a key comes
  bool is_past = false;                   // as it was at a commit (as_of)
  Clock::time_point used = Clock::now();  // when it was last asked for

  bool rests() const { return state == nullptr; }
};

// A session that is locked, and as a whole in memory, as long as this lives.
class HeldSession {
 public:
  // Requires: lock holds the session's mutex, and it does not rest.
  HeldSession(std::shared_ptr<Session> session, std::unique_lock<std::mutex> lock)
      : session_(std::move(session)), lock_(std::move(lock)) {}

  Session& operator*() const { return *session_; }
  Session* operator->() const { return session_.get(); }
  const std::shared_ptr<Session>& shared() const { return session_; }
  std::unique_lock<std::mutex>& lock() { return lock_; }

 private:
  std::shared_ptr<Session> session_;  // outlives its lock
  std::unique_lock<std::mutex> lock_;
};

}  // namespace bitloop::sessions
