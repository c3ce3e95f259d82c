#include "harness/api/thread_pool.h"

#include <exception>

namespace bitloop::api {

void GrowingPool::enqueue(std::function<void()> task) {
  const std::lock_guard guard(mutex_);
  tasks_.push_back(std::move(task));
  if (tasks_.size() > idle_ && threads_.size() < max_threads_) {
    try {
      threads_.reserve(threads_.size() + 1);  // a thread that found no place there would end us all
      threads_.push_back(make_thread());
      return;
    } catch (const std::exception&) {  // no thread, or no memory for one
      if (threads_.empty()) throw;     // else the machine's limit is ours
      if (on_limit_) on_limit_(threads_.size());
    }
  }
  changed_.notify_one();
}

void GrowingPool::shutdown() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard guard(mutex_);
    ending_ = true;
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void GrowingPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace bitloop::api
