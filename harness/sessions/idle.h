// A thread that looks now and then for what nobody uses any more.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace bitloop::sessions {

class Idle {
 public:
  // Calls `look` every `pause`, from one pause after now on.
  Idle(std::chrono::milliseconds pause, std::function<void()> look);
  ~Idle() { stop(); }
  Idle(const Idle&) = delete;
  Idle& operator=(const Idle&) = delete;

  // Returns when `look` is not running and will not be called again.
  void stop();

 private:
  void work();

  const std::chrono::milliseconds pause_;
  const std::function<void()> look_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bitloop::sessions
