// Time and the end of it: a process is killed by its pidfd, which can't mean another one, at a
// moment fixed beforehand.
#pragma once

#include <chrono>

namespace bitloop::sandbox {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  // `limit` zero: never.
  explicit Deadline(std::chrono::milliseconds limit);
  bool passed() const;
  // For poll(2): ms until then, at most `at_most`; rounded up, so that poll doesn't spin.
  int poll_timeout(int at_most) const;
  std::chrono::milliseconds elapsed() const;

 private:
  Clock::time_point start_;
  Clock::time_point end_;
};

// SIGKILL. Harmless when the process has ended.
void kill_process(int pidfd);

}  // namespace bitloop::sandbox
