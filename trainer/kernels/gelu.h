// GELU in its tanh form (Hendrycks & Gimpel 2016; GPT-2's): gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x +
// 0.044715 x^3))).
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// y[i] = gelu(x[i]) for i < n. Pointers may be equal.
void gelu_forward(const float* x, float* y, int64_t n);
// dx[i] = dy[i] gelu'(x[i]). dx may be dy.
void gelu_backward(const float* dy, const float* x, float* dx, int64_t n);

// The same in the calling thread: for a few rows at a time.
void gelu_rows(const float* x, float* y, int64_t n);
void gelu_backward_rows(const float* dy, const float* x, float* dx, int64_t n);

}  // namespace bitloop::kernels
