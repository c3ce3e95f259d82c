#include "harness/sessions/event_cache.h"

namespace bitloop::sessions {

Result<EventPtr> EventCache::get(const FeedCommit& commit, const Make& make) {
  const std::string& name = commit.commit;
  Part& part = parts_[std::hash<std::string>{}(name) % parts_.size()];
  const std::lock_guard guard(part.mutex);
  if (const auto found = part.events.find(name); found != part.events.end()) return found->second;
  BITLOOP_ASSIGN(event, make(commit));
  part.events[name] = event;
  part.order.push_back(name);
  if (part.order.size() > kMostInPart) {
    part.events.erase(part.order.front());
    part.order.pop_front();
  }
  return event;
}

}  // namespace bitloop::sessions
