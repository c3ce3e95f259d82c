// fsyncs of several files at a time. One after the other each would wait for the disk and then for
// a turn on a processor, and what an event must have on disk is a dozen files and folders.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::journal {

// Thread-safe.
class Flusher {
 public:
  // With so many threads beside the caller's, from the first flush() on. 0: the caller's alone.
  explicit Flusher(size_t helpers) : helpers_(helpers) {}
  ~Flusher();

  // fsync of all of them. Whoever calls helps, so it never waits for a thread that has no turn.
  // Errors: "io_error", "disk_full".
  Status flush(std::span<const int> files);

 private:
  struct Batch {
    std::vector<int> files;
    std::atomic<size_t> next{0};   // the first that nobody has taken
    std::atomic<size_t> ended{0};  // so many are done
    std::atomic<int> error{0};     // an errno
    // Takes one and does it; false when all are taken.
    bool work();
  };
  void help();
  void start_threads();  // Requires: locked

  const size_t helpers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Batch>> batches_;  // shared with those at work on them
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace bitloop::journal
