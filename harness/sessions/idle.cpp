#include "harness/sessions/idle.h"

#include <exception>
#include <utility>

namespace bitloop::sessions {

Idle::Idle(std::chrono::milliseconds pause, std::function<void()> look)
    : pause_(pause), look_(std::move(look)) {
  thread_ = std::thread([this] { work(); });
}

void Idle::stop() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Idle::work() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, pause_, [this] { return stopping_; })) {
    lock.unlock();
    try {
      look_();
    } catch (const std::exception&) {
      // No memory, perhaps: what this would give back is given back the next time.
    }
    lock.lock();
  }
}

}  // namespace bitloop::sessions
