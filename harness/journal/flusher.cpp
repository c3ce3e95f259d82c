#include "harness/journal/flusher.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "harness/base/fd.h"

namespace bitloop::journal {

Flusher::~Flusher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Flusher::Batch::work() {
  const size_t mine = next++;
  if (mine >= files.size()) return false;
  if (::fsync(files[mine]) != 0) error = errno;
  if (++ended == files.size()) ended.notify_all();
  return true;
}

void Flusher::help() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !batches_.empty(); });
    if (stopping_) return;
    const std::shared_ptr<Batch> batch = batches_.front();
    if (batch->next >= batch->files.size()) {
      batches_.pop_front();
      continue;
    }
    lock.unlock();
    while (batch->work()) {
    }
    lock.lock();
  }
}

void Flusher::start_threads() {
  try {
    while (threads_.size() < helpers_) threads_.emplace_back([this] { help(); });
  } catch (const std::system_error&) {
    // No thread to be had at the moment: those there are must do.
  }
}

Status Flusher::flush(std::span<const int> files) {
  const auto batch = std::make_shared<Batch>();
  batch->files.assign(files.begin(), files.end());
  if (helpers_ > 0 && files.size() > 1) {
    const std::lock_guard lock(mutex_);
    start_threads();
    if (!threads_.empty()) batches_.push_back(batch);
    changed_.notify_all();
  }
  while (batch->work()) {
  }
  for (size_t ended = batch->ended; ended < batch->files.size(); ended = batch->ended)
    batch->ended.wait(ended);
  if (batch->error != 0) return std::unexpected(errno_error("fsync in the journal", batch->error));
  return {};
}

}  // namespace bitloop::journal
