// A pool that grows: a thread for each connection that needs one, up to a limit, made when it is
// needed. The server starts at once, and hundreds of waiting long polls leave threads for edits.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace bitloop::api {

class GrowingPool {
 public:
  // `on_limit` is called when a thread can't be made, with how many there are.
  explicit GrowingPool(size_t max_threads, std::function<void(size_t threads)> on_limit = {})
      : max_threads_(max_threads), on_limit_(std::move(on_limit)) {}
  virtual ~GrowingPool() { shutdown(); }
  GrowingPool(const GrowingPool&) = delete;
  GrowingPool& operator=(const GrowingPool&) = delete;

  // Runs the task on an idle thread, a new one, or, when all are busy, the first that becomes free.
  void enqueue(std::function<void()> task);
  // Runs what was enqueued, then ends and joins the threads.
  void shutdown();

 protected:
  void work();
  // A thread that works. Throws std::system_error or std::bad_alloc when the machine gives none.
  virtual std::thread make_thread() {
    return std::thread([this] { work(); });
  }

 private:
  const size_t max_threads_;
  const std::function<void(size_t threads)> on_limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool ending_ = false;
};

}  // namespace bitloop::api
