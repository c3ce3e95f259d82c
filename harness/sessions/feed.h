// A feed: what listeners of one session, or of all sessions, hear. An ordered list of the journal's
// commits, and the newest records of running tests, which the journal does not hold.
//
// There is one list for all listeners and no queue for any of them: a listener is a position in it.
// So one that is slow costs the others nothing and holds nothing in memory, and whoever publishes
// waits for nobody. All functions may be called from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/sessions/commit_list.h"

namespace bitloop::sessions {

// One event as it is sent.
struct StreamEvent {
  std::string id;    // the commit; "" for a record of a running test
  std::string kind;  // the journal's kind of event, or the record's type
  std::string data;  // a JSON object, one line
};
using EventPtr = std::shared_ptr<const StreamEvent>;

class Feed {
 public:
  // Where a listener stands.
  struct Position {
    size_t commits = 0;     // so many were heard
    uint64_t progress = 0;  // so many records were heard or passed over
  };
  // One thing to hear: a record, or else a commit.
  struct Item {
    FeedCommit commit;
    EventPtr progress;
  };

  // Adds a commit, or a record of a running test; the newest kMostProgress of these are kept.
  void add(const FeedCommit& commit);
  void add_progress(EventPtr record);
  // The commits from before the feed was made, oldest first. Those that were added before this call
  // may be among them.
  void fill(const std::vector<FeedCommit>& past);
  // Ends all waiting, for good.
  void stop();

  // Waits until the past is there; false when the feed stopped first.
  bool wait_filled();
  // The position right after a commit; nothing when the feed has no such commit. Records: from now
  // on. Requires: filled.
  std::optional<Position> after(std::string_view commit) const;
  Position beginning() const;  // before the first commit
  Position now() const;        // after the last
  // The commit right before a position, nothing before the first.
  std::optional<FeedCommit> before(const Position& position) const;

  // What comes after `position`, at most `most` items, which it moves past; waits up to `timeout`
  // for the first. Records come between the commits that they came between; those that are no
  // longer kept are passed over.
  std::vector<Item> next(Position& position, size_t most, std::chrono::milliseconds timeout);
  bool stopped() const;

 private:
  static constexpr size_t kMostProgress = 512;

  struct Progress {
    size_t after = 0;  // commits that came before it
    EventPtr record;
  };

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  CommitList commits_;
  std::deque<Progress> progress_;
  uint64_t progress_begin_ = 0;  // the number of the oldest kept record
  bool filled_ = false;
  bool stopped_ = false;
};

}  // namespace bitloop::sessions
