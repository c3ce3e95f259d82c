// Somebody who hears a session's events, or all sessions': a position in a feed.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/sessions/feed.h"

namespace bitloop::sessions {

// Belongs to one thread.
class Listener {
 public:
  using Read = std::function<Result<EventPtr>(const FeedCommit& commit)>;
  // `ends`: the feed is one session's, which is over with its submission.
  Listener(std::shared_ptr<Feed> feed, Feed::Position start, bool ends, Read read);

  // The events that follow, in their order, as soon as there is one; none when `timeout` passed
  // first or is_over().
  std::vector<EventPtr> next(std::chrono::milliseconds timeout);
  // Whether nothing will follow: the session's submission was heard (also before the start), or
  // the service stopped.
  bool is_over() const { return over_; }
  // The id of the event before the one that comes next, "" at the beginning.
  std::string last_event() const;

 private:
  static constexpr size_t kMostAtOnce = 64;

  std::shared_ptr<Feed> feed_;
  Feed::Position position_;
  bool ends_;
  Read read_;
  bool over_ = false;
};

}  // namespace bitloop::sessions
