// Time that only passes, for what is measured of a run.
#pragma once

#include <chrono>

namespace bitloop::trainer {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace bitloop::trainer
