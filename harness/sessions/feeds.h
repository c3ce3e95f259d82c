// The feeds of a service and the order of all sessions' events. A feed is made when somebody
// listens; a session's is gone when nobody does, that of all sessions stays: its past is the whole
// journal, which is read once.
//
// That order is a number in each commit (the trailer Bitloop-Sequence), taken before the commit is
// written. Sessions commit side by side, so a smaller number may be on disk later than a larger one
// (or never, when its commit failed); the feed of all sessions therefore holds an event back until
// every smaller number is settled. Whoever heard an event has heard all before it, now and after a
// restart. All functions may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/sessions/feed.h"

namespace bitloop::sessions {

// An event from before a feed was made.
struct PastEvent {
  uint64_t sequence = 0;  // 0: a commit from before there were numbers
  FeedCommit commit;
};

class Feeds {
 public:
  static constexpr const char* kTrailer = "Bitloop-Sequence";
  static constexpr const char* kAll = "";  // the name of the feed of all sessions

  // A number, which is given up with the ticket unless it was published.
  class Ticket {
   public:
    ~Ticket() { feeds_.settle(sequence_, std::move(commit_)); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    uint64_t sequence() const { return sequence_; }
    // The session's commit with this number is on disk: it is heard when the ticket goes.
    void published(std::string session, std::string commit) {
      commit_ = {std::move(session), std::move(commit)};
    }

   private:
    friend class Feeds;
    Ticket(Feeds& feeds, uint64_t sequence) : feeds_(feeds), sequence_(sequence) {}
    Feeds& feeds_;
    uint64_t sequence_;
    FeedCommit commit_;  // empty: none
  };

  // The numbers go on after `last`. Requires: no ticket was taken yet.
  void continue_after(uint64_t last);
  Ticket take();

  // The feed of a session, or of all (kAll), with its past; `read_past` is called (by one caller
  // for all) when the feed is not there yet. Errors: its own, "stopping"; what it throws passes.
  Result<std::shared_ptr<Feed>> open(
      std::string_view name, const std::function<Result<std::vector<PastEvent>>()>& read_past);
  // Whether anybody hears of this session.
  bool is_heard(std::string_view session) const;
  // A record of a session's running test.
  void add_progress(std::string_view session, const EventPtr& record);
  // Ends all feeds, for good.
  void stop();

 private:
  // Gives a new feed its past.
  void fill(Feed& feed, std::string_view name, std::vector<PastEvent> past);
  // Ends a new feed whose past can't be read.
  void give_up(Feed& feed, std::string_view name);
  // Ends a ticket; without a commit its number was for nothing.
  void settle(uint64_t sequence, FeedCommit commit);
  // nullptr when there is none. Requires: mutex_ held.
  std::shared_ptr<Feed> find(std::string_view name) const;

  mutable std::mutex mutex_;
  // Shared with its listeners: that of all sessions.
  std::shared_ptr<Feed> all_;
  // Weak: a session's feed belongs to its listeners.
  std::map<std::string, std::weak_ptr<Feed>, std::less<>> feeds_;
  uint64_t next_ = 1;
  std::set<uint64_t> open_;              // numbers that were taken and are not settled
  std::map<uint64_t, FeedCommit> held_;  // commits that wait for smaller numbers
  bool stopped_ = false;
};

}  // namespace bitloop::sessions
