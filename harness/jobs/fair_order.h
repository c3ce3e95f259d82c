// Whose turn it is: waiting items come out in rounds, one of each owner a round, so that an owner
// with many items holds back nobody. Within an owner the order is that of arrival.
//
// Each item has a number, its round: one more than the owner's last, and more than that of the item
// that came out last. The lowest comes out first. So a newcomer is not served before those who wait
// already for the round that begins, and every item comes out after finitely many others.
//
// Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace bitloop::jobs {

template <typename Item>
class FairOrder {
 public:
  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

  void push(const std::string& owner, Item item) {
    uint64_t& last = last_of_[owner];
    last = std::max(last, round_) + 1;
    const auto later = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const Entry& entry) { return entry.round > last; });
    waiting_.insert(later, Entry{last, owner, std::move(item)});
  }

  // Requires: !empty().
  Item pop() {
    Entry first = std::move(waiting_.front());
    waiting_.pop_front();
    round_ = first.round;
    // Whose items are all out is no longer told from a newcomer.
    std::erase_if(last_of_, [this](const auto& owner) { return owner.second <= round_; });
    return std::move(first.item);
  }

  // Takes out the first item for which `matches`. Those of its owner that came later go on as if it
  // had never been there: each takes the turn before its own.
  template <typename Predicate>
  std::optional<Item> remove(const Predicate& matches) {
    const auto found = find(matches);
    if (found == waiting_.end()) return std::nullopt;
    Entry gone = std::move(*found);
    uint64_t free = gone.round;
    for (auto entry = waiting_.erase(found); entry != waiting_.end(); ++entry)
      if (entry->owner == gone.owner) std::swap(entry->round, free);
    waiting_.sort([](const Entry& a, const Entry& b) { return a.round < b.round; });  // stable
    last_of_[gone.owner] = free - 1;  // `free` is the owner's last turn now; the next takes it
    return std::move(gone.item);
  }

  // How many come out before the first item for which `matches`, if nobody else comes.
  template <typename Predicate>
  std::optional<size_t> ahead_of(const Predicate& matches) {
    const auto found = find(matches);
    if (found == waiting_.end()) return std::nullopt;
    return static_cast<size_t>(std::distance(waiting_.begin(), found));
  }

  void clear() { waiting_.clear(); }

 private:
  struct Entry {
    uint64_t round = 0;
    std::string owner;
    Item item;
  };

  template <typename Predicate>
  auto find(const Predicate& matches) {
    return std::find_if(waiting_.begin(), waiting_.end(),
                        [&](const Entry& entry) { return matches(entry.item); });
  }

  std::list<Entry> waiting_;  // by round, then by arrival
  std::map<std::string, uint64_t> last_of_;
  uint64_t round_ = 0;  // of what came out last
};

}  // namespace bitloop::jobs
