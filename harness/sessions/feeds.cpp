#include "harness/sessions/feeds.h"

#include <utility>

namespace bitloop::sessions {

void Feeds::continue_after(uint64_t last) {
  const std::lock_guard guard(mutex_);
  next_ = last + 1;
}

Feeds::Ticket Feeds::take() {
  const std::lock_guard guard(mutex_);
  open_.insert(next_);
  return Ticket(*this, next_++);
}

std::shared_ptr<Feed> Feeds::find(std::string_view name) const {
  const auto found = feeds_.find(name);
  return found == feeds_.end() ? nullptr : found->second.lock();
}

void Feeds::settle(uint64_t sequence, FeedCommit commit) {
  const std::lock_guard guard(mutex_);
  open_.erase(sequence);
  if (!commit.commit.empty()) {
    // Within a session commits come in turn: nothing to wait for.
    if (const auto feed = find(commit.session)) feed->add(commit);
    held_[sequence] = std::move(commit);
  }
  const auto all = find(kAll);
  while (!held_.empty() && (open_.empty() || held_.begin()->first < *open_.begin())) {
    if (all) all->add(held_.begin()->second);
    held_.erase(held_.begin());
  }
}

Result<std::shared_ptr<Feed>> Feeds::open(
    std::string_view name, const std::function<Result<std::vector<PastEvent>>()>& read_past) {
  std::shared_ptr<Feed> feed;
  bool is_new = false;
  {
    const std::lock_guard guard(mutex_);
    if (stopped_) return fail("stopping", "The server is stopping; connect again later.");
    feed = find(name);
    if (!feed) {
      std::erase_if(feeds_, [](const auto& entry) { return entry.second.expired(); });
      is_new = true;
      feed = std::make_shared<Feed>();
      feeds_[std::string(name)] = feed;  // from here on it hears what is published
      if (name == kAll) all_ = feed;
    }
  }
  if (!is_new) {
    if (feed->wait_filled()) return feed;
    return fail("stopping", "The events can't be read now; connect again later.");
  }
  try {
    auto past = read_past();
    if (past) {
      fill(*feed, name, std::move(*past));
      return feed;
    }
    give_up(*feed, name);
    return std::unexpected(past.error());
  } catch (...) {
    give_up(*feed, name);
    throw;
  }
}

void Feeds::fill(Feed& feed, std::string_view name, std::vector<PastEvent> past) {
  uint64_t settled_below = 0;
  std::set<uint64_t> open;
  {
    const std::lock_guard guard(mutex_);
    settled_below = open_.empty() ? next_ : *open_.begin();
    open = open_;
  }
  // What was read may not be settled yet: it is added when its turn comes. The list is long where
  // commits are many, so it is made while nobody waits for the mutex.
  std::vector<FeedCommit> commits;
  commits.reserve(past.size());
  for (PastEvent& event : past) {
    const bool is_settled =
        name == kAll ? event.sequence < settled_below : !open.contains(event.sequence);
    if (is_settled) commits.push_back(std::move(event.commit));
  }
  feed.fill(commits);
}

void Feeds::give_up(Feed& feed, std::string_view name) {
  feed.stop();  // for those who wait for its past, too
  const std::lock_guard guard(mutex_);
  feeds_.erase(feeds_.find(name));
  if (name == kAll) all_.reset();
}

bool Feeds::is_heard(std::string_view session) const {
  const std::lock_guard guard(mutex_);
  return find(session) || all_.use_count() > 1;
}

void Feeds::add_progress(std::string_view session, const EventPtr& record) {
  const std::lock_guard guard(mutex_);
  if (const auto feed = find(session)) feed->add_progress(record);
  if (const auto feed = find(kAll)) feed->add_progress(record);
}

void Feeds::stop() {
  const std::lock_guard guard(mutex_);
  stopped_ = true;
  for (const auto& [name, weak] : feeds_)
    if (const auto feed = weak.lock()) feed->stop();
}

}  // namespace bitloop::sessions
