#include "sandbox/deadline.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace bitloop::sandbox {

Deadline::Deadline(std::chrono::milliseconds limit)
    : start_(Clock::now()), end_(limit.count() > 0 ? start_ + limit : Clock::time_point::max()) {}

bool Deadline::passed() const { return Clock::now() >= end_; }

int Deadline::poll_timeout(int at_most) const {
  if (end_ == Clock::time_point::max()) return at_most;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, at_most));
}

std::chrono::milliseconds Deadline::elapsed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
}

void kill_process(int pidfd) { ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0); }

}  // namespace bitloop::sandbox
