#include "trainer/distributed/sum_thread.h"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>

#include <utility>

#include "trainer/device/streams.h"
#include "trainer/failure.h"

namespace bitloop::trainer {
namespace {

// Lists of tensors that can wait at the same time on a GPU: more than a model has layers.
constexpr size_t kEvents = 256;

}  // namespace

SumThread::SumThread(at::Device device, Sum sum) : device_(device), sum_(std::move(sum)) {
  if (!device.is_cpu()) {
    stream_ = c10::impl::VirtualGuardImpl(device.type()).getNewStream(device);
    for (size_t i = 0; i < kEvents; ++i)
      events_.emplace_back(device.type()).record(current_stream(device));  // which makes it
  }
  thread_ = std::thread([this] { run(); });
}

SumThread::~SumThread() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SumThread::begin(std::vector<at::Tensor> tensors) {
  Work work{.tensors = std::move(tensors)};
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return events_.empty() || waiting_.size() + 1 < events_.size(); });
  if (!events_.empty()) {
    work.event = next_event_++ % events_.size();
    events_[work.event].record(current_stream(device_));
  }
  waiting_.push_back(std::move(work));
  changed_.notify_all();
}

Status SumThread::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.empty() && !busy_; });
  return std::exchange(outcome_, Status());
}

Status SumThread::sum_one(const Work& work) const {
  try {
    const at::NoGradGuard no_grad;
    if (!stream_) return sum_(work.tensors);
    const c10::StreamGuard guard(*stream_);
    events_[work.event].block(*stream_);
    BITLOOP_TRY(sum_(work.tensors));
    stream_->synchronize();
    return {};
  } catch (const std::exception& error) {
    return std::unexpected(failure_of(error));
  }
}

void SumThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    const Work work = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    if (outcome_) {
      lock.unlock();
      Status done = sum_one(work);
      lock.lock();
      outcome_ = std::move(done);
    }
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace bitloop::trainer
