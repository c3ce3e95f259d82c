#include "trainer/generate/benchmark.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#include "trainer/kernels/team.h"

namespace bitloop::trainer {

double measured_copy() {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kBytes = int64_t{128} << 20;
  constexpr int kTimes = 6;  // the first one also asks for the memory
  const auto from = std::make_unique_for_overwrite<char[]>(kBytes);
  const auto to = std::make_unique_for_overwrite<char[]>(kBytes);
  std::memset(from.get(), 1, kBytes);
  double best = 0;
  for (int i = 0; i < kTimes; ++i) {
    const Clock::time_point start = Clock::now();
    kernels::run_parts(kBytes, 4096, [&](int64_t begin, int64_t end) {
      std::memcpy(to.get() + begin, from.get() + begin, static_cast<size_t>(end - begin));
    });
    best =
        std::max(best, 2.0 * kBytes / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

int64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace bitloop::trainer
