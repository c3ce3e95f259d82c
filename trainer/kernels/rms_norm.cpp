#include "trainer/kernels/rms_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kGrain = 16;  // rows that a thread takes at least

BITLOOP_SIMD void forward_row(const float* x, const float* weight, int64_t D, double epsilon,
                              float* y, float* rstd) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < D; ++i) squares += x[i] * x[i];
  const float factor =
      1.0f / std::sqrt(squares / static_cast<float>(D) + static_cast<float>(epsilon));
#pragma omp simd
  for (int64_t i = 0; i < D; ++i) y[i] = x[i] * factor * weight[i];
  *rstd = factor;
}

// With n = x rstd: dx = rstd (dy weight - n mean(dy weight n)), dweight += dy n.
BITLOOP_SIMD void backward_row(const float* dy, const float* x, float rstd, const float* weight,
                               int64_t D, float* dx, float* dweight) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < D; ++i) dot += dy[i] * weight[i] * x[i];
  const float share = dot * rstd * rstd / static_cast<float>(D);
#pragma omp simd
  for (int64_t i = 0; i < D; ++i) {
    const float d = dy[i];
    dweight[i] += d * x[i] * rstd;
    dx[i] = rstd * (d * weight[i] - x[i] * share);
  }
}

}  // namespace

void rms_norm_forward(const float* x, const float* weight, int64_t R, int64_t D, double epsilon,
                      float* y, float* rstd) {
  run_parts(R, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      forward_row(x + r * D, weight, D, epsilon, y + r * D, rstd + r);
  });
}

void rms_norm_backward(const float* dy, const float* x, const float* rstd, const float* weight,
                       int64_t R, int64_t D, float* dx, float* dweight) {
  const int64_t threads = std::max<int64_t>(1, std::min(team_size(), (R + kGrain - 1) / kGrain));
  std::vector<float> sums(static_cast<size_t>(threads * D), 0.0f);
  run_team(threads, [&](int64_t t) {
    const Range part = part_of(R, kGrain, t, threads);
    for (int64_t r = part.begin; r < part.end; ++r)
      backward_row(dy + r * D, x + r * D, rstd[r], weight, D, dx + r * D, sums.data() + t * D);
  });
  std::copy_n(sums.begin(), D, dweight);
  for (int64_t t = 1; t < threads; ++t)
    for (int64_t i = 0; i < D; ++i) dweight[i] += sums[static_cast<size_t>(t * D + i)];
}

}  // namespace bitloop::kernels
