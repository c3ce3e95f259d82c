#include "harness/sessions/feed.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace bitloop::sessions {
namespace {

constexpr size_t kRoomToGrow = 64;  // commits that may be added while a past is filled in

}  // namespace

void Feed::add(const FeedCommit& commit) {
  {
    const std::lock_guard guard(mutex_);
    commits_.add(commit);
  }
  changed_.notify_all();
}

void Feed::add_progress(EventPtr record) {
  {
    const std::lock_guard guard(mutex_);
    if (!filled_) return;  // its place among the commits is not known yet
    progress_.push_back({commits_.size(), std::move(record)});
    if (progress_.size() > kMostProgress) {
      progress_.pop_front();
      ++progress_begin_;
    }
  }
  changed_.notify_all();
}

void Feed::fill(const std::vector<FeedCommit>& past) {
  std::unordered_set<std::string> added;
  {
    const std::lock_guard guard(mutex_);
    for (size_t i = 0; i < commits_.size(); ++i) added.insert(commits_.at(i).commit);
  }
  // Whoever adds a commit meanwhile must not wait for a pass over a long past.
  CommitList filled;
  filled.reserve(past.size() + added.size() + kRoomToGrow);
  for (const FeedCommit& commit : past)
    if (!added.contains(commit.commit)) filled.add(commit);
  {
    const std::lock_guard guard(mutex_);
    filled.add(commits_);
    commits_ = std::move(filled);
    filled_ = true;
  }
  changed_.notify_all();
}

void Feed::stop() {
  {
    const std::lock_guard guard(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

bool Feed::wait_filled() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return filled_ || stopped_; });
  return filled_ && !stopped_;
}

std::optional<Feed::Position> Feed::after(std::string_view commit) const {
  const std::lock_guard guard(mutex_);
  const auto place = commits_.find(commit);
  if (!place) return std::nullopt;
  return Position{*place + 1, progress_begin_ + progress_.size()};
}

Feed::Position Feed::beginning() const {
  const std::lock_guard guard(mutex_);
  return {0, progress_begin_ + progress_.size()};
}

Feed::Position Feed::now() const {
  const std::lock_guard guard(mutex_);
  return {commits_.size(), progress_begin_ + progress_.size()};
}

std::optional<FeedCommit> Feed::before(const Position& position) const {
  const std::lock_guard guard(mutex_);
  if (position.commits == 0) return std::nullopt;
  return commits_.at(position.commits - 1);
}

std::vector<Feed::Item> Feed::next(Position& position, size_t most,
                                   std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] {
    return stopped_ || position.commits < commits_.size() ||
           position.progress < progress_begin_ + progress_.size();
  });
  std::vector<Item> items;
  while (!stopped_ && items.size() < most) {
    position.progress = std::max(position.progress, progress_begin_);
    const size_t kept = position.progress - progress_begin_;
    if (kept < progress_.size() && progress_[kept].after <= position.commits) {
      items.push_back({{}, progress_[kept].record});
      ++position.progress;
    } else if (position.commits < commits_.size()) {
      items.push_back({commits_.at(position.commits), nullptr});
      ++position.commits;
    } else {
      break;
    }
  }
  return items;
}

bool Feed::stopped() const {
  const std::lock_guard guard(mutex_);
  return stopped_;
}

}  // namespace bitloop::sessions
