// RMSNorm (Zhang & Sennrich 2019) of rows: y = x rstd weight, rstd = 1 / sqrt(mean(x²) + epsilon).
// Legend: R rows, D width.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// x and y (R, D), weight (D); writes rstd (R). A row's numbers don't depend on how many there are.
void rms_norm_forward(const float* x, const float* weight, int64_t R, int64_t D, double epsilon,
                      float* y, float* rstd);
// dx (R, D) and dweight (D) of dy (R, D); all of both is written. dx may be dy. Sums of dweight are
// made in an order that the number of threads alone decides.
void rms_norm_backward(const float* dy, const float* x, const float* rstd, const float* weight,
                       int64_t R, int64_t D, float* dx, float* dweight);

}  // namespace bitloop::kernels
