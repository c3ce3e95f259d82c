// What the kernels share: sixteen bytes at a time, rounding, sums over a block in a fixed order.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace bitloop::cuda {

constexpr int kVector = 8;  // bfloat16 numbers in one access of sixteen bytes

struct __align__(16) Vector {
  __nv_bfloat162 pair[kVector / 2];
};

__device__ inline void unpack(const Vector& from, float (&to)[kVector]) {
#pragma unroll
  for (int i = 0; i < kVector / 2; ++i) {
    const float2 both = __bfloat1622float2(from.pair[i]);
    to[2 * i] = both.x, to[2 * i + 1] = both.y;
  }
}
__device__ inline Vector pack(const float (&from)[kVector]) {
  Vector to;
#pragma unroll
  for (int i = 0; i < kVector / 2; ++i)
    to.pair[i] = __floats2bfloat162_rn(from[2 * i], from[2 * i + 1]);
  return to;
}

__device__ inline float warp_sum(float v) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}
__device__ inline float warp_max(float v) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

// Over all threads of a block of at most 1,024; every thread has the result. `room` is 32 numbers
// of shared memory that nobody uses between this call and the next barrier.
__device__ inline float block_sum(float v, float* room) {
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;
  __syncthreads();
  const int warps = (blockDim.x + 31) / 32, lane = threadIdx.x % 32;
  return warp_sum(lane < warps ? room[lane] : 0.0f);
}
__device__ inline float block_max(float v, float* room) {
  v = warp_max(v);
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;
  __syncthreads();
  const int warps = (blockDim.x + 31) / 32, lane = threadIdx.x % 32;
  return warp_max(lane < warps ? room[lane] : -INFINITY);
}

}  // namespace bitloop::cuda
