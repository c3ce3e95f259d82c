// SwiGLU (Shazeer 2020): y = silu(gate) up, silu(x) = x / (1 + e^-x). n numbers each.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

void swiglu_forward(const float* gate, const float* up, float* y, int64_t n);
// dgate and dup of dy.
void swiglu_backward(const float* dy, const float* gate, const float* up, float* dgate, float* dup,
                     int64_t n);

}  // namespace bitloop::kernels
