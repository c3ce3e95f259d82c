// A pool that grows: a thread for each connection that needs one, up to a limit, made when it is
// needed. The server starts at once, and hundreds of waiting long polls leave threads for edits.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bitloop::api {

class GrowingPool {
 public:
  explicit GrowingPool(size_t max_threads) : max_threads_(max_threads) {}
  ~GrowingPool() { shutdown(); }
  GrowingPool(const GrowingPool&) = delete;
  GrowingPool& operator=(const GrowingPool&) = delete;

  // Runs the task on an idle thread, a new one, or, when all are busy, the first that becomes free.
  void enqueue(std::function<void()> task);
  // Runs what was enqueued, then ends and joins the threads.
  void shutdown();

 private:
  void work();

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool ending_ = false;
};

}  // namespace bitloop::api
