// GELU in its tanh form (Hendrycks & Gimpel 2016; GPT-2's): gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x +
// 0.044715 x^3))).
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// y[i] = gelu(x[i]) for i < n. Pointers may be equal.
void gelu_forward(const float* x, float* y, int64_t n);
// dx[i] = dy[i] gelu'(x[i]). dx may be dy.
void gelu_backward(const float* dy, const float* x, float* dx, int64_t n);

// In the calling thread, for a few rows at a time: y = gelu(x), and slope = gelu'(x) as bfloat16, for
// backward. y may be x.
void gelu_with_slope(const float* x, float* y, uint16_t* slope, int64_t n);

}  // namespace bitloop::kernels
