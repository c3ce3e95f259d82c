// The kernels that are compiled beforehand, as functions of the host. All of them queue on the
// default stream; shapes and meanings are DeviceKernels'.
#pragma once

#include <cstdint>

#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

using kernels::Bf16;

void launch_layer_norm_backward(const Bf16* dy, const Bf16* x, const float* mean, const float* rstd,
                                const float* weight, int64_t R, int64_t D, Bf16* dx, float* parts);
// How many rows of (dweight, dbias, columns), each (3, D), the call above leaves in `parts`.
int64_t layer_norm_parts(int64_t R);
// Each of the sums (n) += its n columns of parts (count, sums n); null ones are left out.
struct Sums {
  float *first = nullptr, *second = nullptr, *third = nullptr;
};
void launch_add_parts(const float* parts, int64_t count, int64_t n, const Sums& sums);

void launch_cross_entropy(Bf16* logits, const int64_t* targets, int64_t R, int64_t V, float scale,
                          float* losses);
void launch_column_parts(const Bf16* x, int64_t R, int64_t N, int64_t count, float* parts);

void launch_embed(const int64_t* ids, const float* wte, const float* wpe, int64_t R, int64_t T,
                  int64_t D, Bf16* x);
void launch_embed_backward(const Bf16* dx, const int64_t* ids, const int32_t* order,
                           const int32_t* starts, int64_t count, int64_t R, int64_t T, int64_t D,
                           float* dwte, float* dwpe);

void launch_packed_product(const kernels::PackedProduct& product);

void launch_round(const float* from, int64_t n, Bf16* to);
void launch_widen(const int8_t* from, int64_t n, Bf16* to);

}  // namespace bitloop::cuda
