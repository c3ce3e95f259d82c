#include "harness/sessions/listener.h"

#include <spdlog/spdlog.h>

namespace bitloop::sessions {
namespace {

constexpr const char* kLastEvent = "submission";

}  // namespace

Listener::Listener(std::shared_ptr<Feed> feed, Feed::Position start, bool ends, Read read)
    : feed_(std::move(feed)), position_(start), ends_(ends), read_(std::move(read)) {
  const auto last = feed_->before(position_);
  if (!ends_ || !last) return;
  const auto event = read_(*last);
  over_ = event && (*event)->kind == kLastEvent;
}

std::vector<EventPtr> Listener::next(std::chrono::milliseconds timeout) {
  std::vector<EventPtr> events;
  if (over_) return events;
  const auto items = feed_->next(position_, kMostAtOnce, timeout);
  over_ = feed_->stopped();
  for (const Feed::Item& item : items) {
    if (item.progress) {
      events.push_back(item.progress);
      continue;
    }
    const auto event = read_(item.commit);
    if (!event) {
      // An event must not be left out: the listener ends here and comes back for it.
      spdlog::error("an event cannot be sent: {}", event.error().message);
      over_ = true;
      break;
    }
    events.push_back(*event);
    over_ = over_ || (ends_ && (*event)->kind == kLastEvent);
  }
  return events;
}

std::string Listener::last_event() const {
  const auto last = feed_->before(position_);
  return last ? last->commit : "";
}

}  // namespace bitloop::sessions
