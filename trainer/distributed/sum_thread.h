// A thread that sums tensors over the ranks while the process goes on, one list of tensors after
// the other. On a GPU it has a stream of its own, which waits for what was queued for the tensors
// when they were handed over.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::trainer {

class SumThread {
 public:
  using Sum = std::function<Status(std::span<const at::Tensor>)>;
  // `sum` is called in the thread. Makes the thread, and of a GPU the stream and its events.
  SumThread(at::Device device, Sum sum);
  // Waits for the sum at hand; what has not begun stays as it is.
  ~SumThread();

  void begin(std::vector<at::Tensor> tensors);
  // Returns when all are sums, or with what went wrong first: then later ones stay as they are.
  Status finish();

 private:
  struct Work {
    std::vector<at::Tensor> tensors;
    size_t event = 0;
  };
  void run();
  Status sum_one(const Work& work) const;

  at::Device device_;
  Sum sum_;
  std::optional<c10::Stream> stream_;  // of a GPU
  std::vector<c10::Event> events_;     // likewise: when tensors are whole, used in turns
  size_t next_event_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> waiting_;
  bool busy_ = false, ends_ = false;
  Status outcome_;
  std::thread thread_;
};

}  // namespace bitloop::trainer
