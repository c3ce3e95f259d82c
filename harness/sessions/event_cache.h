// The newest events as they are sent: made once for all listeners that wait for them.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "harness/base/result.h"
#include "harness/sessions/feed.h"

namespace bitloop::sessions {

// All functions may be called from any thread.
class EventCache {
 public:
  using Make = std::function<Result<EventPtr>(const FeedCommit& commit)>;
  // The event of a commit; `make` is called unless it is there. Whoever asks for one that is being
  // made waits for it.
  Result<EventPtr> get(const FeedCommit& commit, const Make& make);

 private:
  static constexpr size_t kMostInPart = 128;

  // Parts by the commit's name: different events do not wait for each other, as a rule.
  struct Part {
    std::mutex mutex;
    std::unordered_map<std::string, EventPtr> events;
    std::deque<std::string> order;  // oldest first
  };
  std::array<Part, 16> parts_;
};

}  // namespace bitloop::sessions
