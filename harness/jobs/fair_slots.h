// A few places for many: who waits gets one in turns of the owners (FairOrder).
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>

#include "harness/jobs/fair_order.h"

namespace bitloop::jobs {

// Thread-safe.
class FairSlots {
 public:
  explicit FairSlots(int slots) : free_(slots) {}

  // A place, until destroyed.
  class Place {
   public:
    explicit Place(FairSlots& slots) : slots_(slots) {}
    ~Place() { slots_.leave(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    FairSlots& slots_;
  };

  // Waits for a place.
  Place enter(const std::string& owner) {
    std::unique_lock lock(mutex_);
    bool called = false;
    waiting_.push(owner, &called);
    call();
    changed_.wait(lock, [&called] { return called; });
    return Place(*this);
  }

 private:
  void leave() {
    const std::lock_guard lock(mutex_);
    ++free_;
    call();
  }
  // Gives what is free to those whose turn it is. Requires: locked.
  void call() {
    for (; free_ > 0 && !waiting_.empty(); --free_) *waiting_.pop() = true;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  FairOrder<bool*> waiting_;  // each set when its turn has come
  int free_;
};

}  // namespace bitloop::jobs
