// Splits a range over OpenMP's threads: the same pieces each time, so results do not depend on
// timing.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace bitloop::kernels {

// Calls body(begin, end) once a thread on contiguous pieces of [0, n), each a multiple of `grain`
// long but the last.
template <typename Body>
void parallel_pieces(int64_t n, int64_t grain, Body body) {
  const int64_t grains = (n + grain - 1) / grain;
  const int64_t threads = std::max<int64_t>(1, std::min<int64_t>(omp_get_max_threads(), grains));
  if (threads == 1) {
    body(int64_t{0}, n);
    return;
  }
  const int64_t piece = (grains + threads - 1) / threads * grain;
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(threads))
  for (int64_t t = 0; t < threads; ++t) {
    const int64_t begin = t * piece;
    if (begin < n) body(begin, std::min(n, begin + piece));
  }
}

}  // namespace bitloop::kernels
