// Passes over rows and columns: a LayerNorm's backward, sums of columns, cross-entropy.
#include <algorithm>

#include "trainer/cuda/kernels.cuh"
#include "trainer/cuda/launches.h"

namespace bitloop::cuda {
namespace {

constexpr int kTurnRows = 4;  // rows of a block that are under way together
constexpr int kBlocks =
    132 * 3;  // that an H200 holds at once; the same on any, as the sums' order is

// A block's D / 8 threads hold a row each time, four rows at a time so that memory is never waited
// for alone, and their columns' sums over all rows of the block.
template <int threads>
__global__ void __launch_bounds__(threads)
    layer_norm_backward(const Vector* dy, const Vector* x, const float* mean, const float* rstd,
                        const float* weight, int R, int D, Vector* dx, float* parts) {
  __shared__ float room[2][kTurnRows][2][32];
  const int vectors = D / kVector, t = threadIdx.x, warps = blockDim.x / 32;
  const bool mine = t < vectors;
  float w[kVector] = {}, sum_w[kVector] = {}, sum_b[kVector] = {}, sum_c[kVector] = {};
  if (mine)
#pragma unroll
    for (int i = 0; i < kVector; ++i) w[i] = weight[t * kVector + i];
  int turn = 0;
  for (int first = blockIdx.x * kTurnRows; first < R; first += gridDim.x * kTurnRows, turn ^= 1) {
    Vector given[kTurnRows] = {}, from[kTurnRows] = {}, before[kTurnRows] = {};
#pragma unroll
    for (int k = 0; k < kTurnRows; ++k) {
      const int64_t at = static_cast<int64_t>(first + k) * vectors + t;
      if (mine && first + k < R) given[k] = dy[at], from[k] = x[at], before[k] = dx[at];
    }
    float m[kTurnRows], s[kTurnRows];
#pragma unroll
    for (int k = 0; k < kTurnRows; ++k) {
      const int r = first + k < R ? first + k : R - 1;
      m[k] = mean[r], s[k] = rstd[r];
      float g[kVector], n[kVector], sum = 0, dot = 0;
      unpack(given[k], g), unpack(from[k], n);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        n[i] = (n[i] - m[k]) * s[k];
        sum_w[i] += g[i] * n[i];
        sum_b[i] += g[i];
        sum += g[i] * w[i];
        dot += g[i] * w[i] * n[i];
      }
      sum = warp_sum(sum), dot = warp_sum(dot);
      if (t % 32 == 0) room[turn][k][0][t / 32] = sum, room[turn][k][1][t / 32] = dot;
    }
    // The next turn uses other room, so no barrier is needed behind the sums.
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kTurnRows; ++k) {
      float sum = 0, dot = 0, g[kVector], n[kVector], d[kVector];
      for (int i = 0; i < warps; ++i) sum += room[turn][k][0][i], dot += room[turn][k][1][i];
      sum /= D, dot /= D;
      unpack(given[k], g), unpack(from[k], n), unpack(before[k], d);
#pragma unroll
      for (int i = 0; i < kVector; ++i)
        d[i] += s[k] * (g[i] * w[i] - sum - (n[i] - m[k]) * s[k] * dot);
      if (!mine || first + k >= R) continue;
      const Vector rounded = pack(d);
      dx[static_cast<int64_t>(first + k) * vectors + t] = rounded;
      unpack(rounded, d);
#pragma unroll
      for (int i = 0; i < kVector; ++i) sum_c[i] += d[i];
    }
  }
  if (!mine) return;
  float* to = parts + static_cast<int64_t>(blockIdx.x) * 3 * D + t * kVector;
#pragma unroll
  for (int i = 0; i < kVector; ++i)
    to[i] = sum_w[i], to[D + i] = sum_b[i], to[2 * D + i] = sum_c[i];
}

// A warp takes 32 columns, its rows' parts in order.
__global__ void add_parts(const float* parts, int count, int n, int width, Sums sums) {
  __shared__ float room[32][33];
  const int column = blockIdx.x * 32 + threadIdx.x;
  float sum = 0;
  if (column < width)
    for (int p = threadIdx.y; p < count; p += 32)
      sum += parts[static_cast<int64_t>(p) * width + column];
  room[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  for (int i = 1; i < 32; ++i) sum += room[i][threadIdx.x];
  float* to = column < n ? sums.first : column < 2 * n ? sums.second : sums.third;
  if (to != nullptr) to[column % n] += sum;
}

// Block (b, c): rows b, b + count, … of the 8 · blockDim columns of piece c.
__global__ void column_parts(const Vector* x, int R, int vectors, float* parts) {
  const int at = blockIdx.y * blockDim.x + threadIdx.x;
  if (at >= vectors) return;
  constexpr int kAhead = 8;  // rows that are under way together
  float sum[kVector] = {};
  for (int first = blockIdx.x; first < R; first += gridDim.x * kAhead) {
    Vector from[kAhead] = {};
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int r = first + k * gridDim.x;
      if (r < R) from[k] = x[static_cast<int64_t>(r) * vectors + at];
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      float v[kVector];
      unpack(from[k], v);
#pragma unroll
      for (int i = 0; i < kVector; ++i) sum[i] += v[i];
    }
  }
  float* to = parts + (static_cast<int64_t>(blockIdx.x) * vectors + at) * kVector;
#pragma unroll
  for (int i = 0; i < kVector; ++i) to[i] = sum[i];
}

// A row of logits waits in shared memory (`kept`) between the passes over it where it fits: memory
// is then read once and written once.
template <bool kept>
__global__ void __launch_bounds__(512)
    cross_entropy(Vector* logits, const int64_t* targets, int V, float scale, float* losses) {
  extern __shared__ Vector stored[];
  __shared__ float room[2][32];
  const int vectors = V / kVector, threads = blockDim.x;
  Vector* row = logits + static_cast<int64_t>(blockIdx.x) * vectors;
  const int target = static_cast<int>(targets[blockIdx.x]);
  // Maximum and sum together: a larger maximum shrinks the sum so far.
  float top = -INFINITY, sum = 0;
  for (int i = threadIdx.x; i < vectors; i += threads) {
    const Vector v = row[i];
    if (kept) stored[i] = v;
    float x[kVector];
    unpack(v, x);
    float here = x[0];
#pragma unroll
    for (int j = 1; j < kVector; ++j) here = fmaxf(here, x[j]);
    if (here > top) {
      sum *= __expf(top - here);
      top = here;
    }
#pragma unroll
    for (int j = 0; j < kVector; ++j) sum += __expf(x[j] - top);
  }
  const float all_top = block_max(top, room[0]);
  sum = block_sum(top == -INFINITY ? 0.0f : sum * __expf(top - all_top), room[1]);
  const float factor = scale / sum;
  for (int i = threadIdx.x; i < vectors; i += threads) {
    float x[kVector];
    unpack(kept ? stored[i] : row[i], x);
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      if (i * kVector + j == target) losses[blockIdx.x] = all_top + __logf(sum) - x[j];
      x[j] = __expf(x[j] - all_top) * factor - (i * kVector + j == target ? scale : 0.0f);
    }
    row[i] = pack(x);
  }
}

int whole_warps(int64_t threads) { return static_cast<int>((threads + 31) / 32 * 32); }

}  // namespace

using NormKernel = void (*)(const Vector*, const Vector*, const float*, const float*, const float*,
                            int, int, Vector*, float*);
NormKernel norm_kernel(int64_t D) {
  return D / kVector <= 128 ? layer_norm_backward<128> : layer_norm_backward<256>;
}

int64_t layer_norm_parts(int64_t R) {
  const int64_t turns = (R + kTurnRows - 1) / kTurnRows;
  return turns < kBlocks ? turns : kBlocks;
}

void launch_layer_norm_backward(const Bf16* dy, const Bf16* x, const float* mean, const float* rstd,
                                const float* weight, int64_t R, int64_t D, Bf16* dx, float* parts) {
  norm_kernel(D)<<<static_cast<unsigned>(layer_norm_parts(R)), whole_warps(D / kVector)>>>(
      reinterpret_cast<const Vector*>(dy), reinterpret_cast<const Vector*>(x), mean, rstd, weight,
      static_cast<int>(R), static_cast<int>(D), reinterpret_cast<Vector*>(dx), parts);
}

void launch_add_parts(const float* parts, int64_t count, int64_t n, const Sums& sums) {
  const int64_t width = n * (sums.second != nullptr ? 3 : 1);
  add_parts<<<static_cast<unsigned>((width + 31) / 32), dim3(32, 32)>>>(
      parts, static_cast<int>(count), static_cast<int>(n), static_cast<int>(width), sums);
}

void launch_column_parts(const Bf16* x, int64_t R, int64_t N, int64_t count, float* parts) {
  const int64_t vectors = N / kVector, threads = 128;
  column_parts<<<dim3(static_cast<unsigned>(count),
                      static_cast<unsigned>((vectors + threads - 1) / threads)),
                 static_cast<unsigned>(threads)>>>(
      reinterpret_cast<const Vector*>(x), static_cast<int>(R), static_cast<int>(vectors), parts);
}

void launch_cross_entropy(Bf16* logits, const int64_t* targets, int64_t R, int64_t V, float scale,
                          float* losses) {
  // Two blocks of a multiprocessor of Hopper fit; others have less.
  static const int64_t kMost = [] {
    int device = 0, bytes = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return std::min<int64_t>(bytes, 110 << 10);
  }();
  const int64_t bytes = V * static_cast<int64_t>(sizeof(Bf16));
  auto* rows = reinterpret_cast<Vector*>(logits);
  const auto grid = static_cast<unsigned>(R);
  if (bytes <= kMost) {
    cudaFuncSetAttribute(cross_entropy<true>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(bytes));
    cross_entropy<true><<<grid, 512, static_cast<size_t>(bytes)>>>(
        rows, targets, static_cast<int>(V), scale, losses);
  } else {
    cross_entropy<false><<<grid, 512>>>(rows, targets, static_cast<int>(V), scale, losses);
  }
}

}  // namespace bitloop::cuda
