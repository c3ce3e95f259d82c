// Embeddings and conversions.
#include "trainer/cuda/kernels.cuh"
#include "trainer/cuda/launches.h"

namespace bitloop::cuda {
namespace {

__global__ void embed(const int64_t* ids, const float4* wte, const float4* wpe, int T, int vectors,
                      Vector* x) {
  const int r = blockIdx.x;
  const float4 *token = wte + ids[r] * vectors * 2,
               *place = wpe + static_cast<int64_t>(r % T) * vectors * 2;
  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    float sum[kVector];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float4 a = token[2 * i + half], b = place[2 * i + half];
      sum[4 * half] = a.x + b.x, sum[4 * half + 1] = a.y + b.y;
      sum[4 * half + 2] = a.z + b.z, sum[4 * half + 3] = a.w + b.w;
    }
    x[static_cast<int64_t>(r) * vectors + i] = pack(sum);
  }
}

__device__ void add_vector(const float (&sum)[kVector], float* to) {
#pragma unroll
  for (int i = 0; i < kVector; ++i) to[i] += sum[i];
}

constexpr int kTokenWarps = 8;

// A block an id that occurs and 256 columns: warp w adds rows w, w + 8, … of that id, and the first
// warp adds what the others have. A fixed order, and a frequent id is not one thread's work.
__global__ void embed_backward_tokens(const Vector* dx, const int64_t* ids, const int32_t* order,
                                      const int32_t* starts, int vectors, float* dwte) {
  __shared__ float room[kTokenWarps][32][kVector + 1];
  const int begin = starts[blockIdx.x], end = starts[blockIdx.x + 1];
  const int lane = threadIdx.x, warp = threadIdx.y, i = blockIdx.y * 32 + lane;
  float sum[kVector] = {};
  constexpr int kAhead = 4;  // rows that are under way together
  for (int first = begin + warp; i < vectors && first < end; first += kTokenWarps * kAhead) {
    Vector from[kAhead] = {};
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int k = first + a * kTokenWarps;
      if (k < end) from[a] = dx[static_cast<int64_t>(order[k]) * vectors + i];
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      float v[kVector];
      unpack(from[a], v);
#pragma unroll
      for (int j = 0; j < kVector; ++j) sum[j] += v[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kVector; ++j) room[warp][lane][j] = sum[j];
  __syncthreads();
  if (warp != 0 || i >= vectors) return;
  for (int w = 1; w < kTokenWarps; ++w)
#pragma unroll
    for (int j = 0; j < kVector; ++j) sum[j] += room[w][lane][j];
  add_vector(sum, dwte + (ids[order[begin]] * vectors + i) * kVector);
}

__global__ void embed_backward_places(const Vector* dx, int R, int T, int vectors, float* dwpe) {
  const int t = blockIdx.x;
  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    float sum[kVector] = {};
#pragma unroll 8
    for (int r = t; r < R; r += T) {
      float v[kVector];
      unpack(dx[static_cast<int64_t>(r) * vectors + i], v);
#pragma unroll
      for (int j = 0; j < kVector; ++j) sum[j] += v[j];
    }
    add_vector(sum, dwpe + (static_cast<int64_t>(t) * vectors + i) * kVector);
  }
}

template <typename From>
__global__ void to_bfloat16(const From* from, int64_t n, __nv_bfloat16* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) to[i] = __float2bfloat16_rn(static_cast<float>(from[i]));
}

unsigned blocks(int64_t n, int64_t threads) {
  return static_cast<unsigned>((n + threads - 1) / threads);
}

}  // namespace

void launch_embed(const int64_t* ids, const float* wte, const float* wpe, int64_t R, int64_t T,
                  int64_t D, Bf16* x) {
  embed<<<static_cast<unsigned>(R), 128>>>(
      ids, reinterpret_cast<const float4*>(wte), reinterpret_cast<const float4*>(wpe),
      static_cast<int>(T), static_cast<int>(D / kVector), reinterpret_cast<Vector*>(x));
}

void launch_embed_backward(const Bf16* dx, const int64_t* ids, const int32_t* order,
                           const int32_t* starts, int64_t count, int64_t R, int64_t T, int64_t D,
                           float* dwte, float* dwpe) {
  const auto* rows = reinterpret_cast<const Vector*>(dx);
  const int vectors = static_cast<int>(D / kVector);
  embed_backward_tokens<<<dim3(static_cast<unsigned>(count), blocks(vectors, 32)),
                          dim3(32, kTokenWarps)>>>(rows, ids, order, starts, vectors, dwte);
  embed_backward_places<<<static_cast<unsigned>(T < R ? T : R), 128>>>(
      rows, static_cast<int>(R), static_cast<int>(T), vectors, dwpe);
}

void launch_round(const float* from, int64_t n, Bf16* to) {
  to_bfloat16<<<blocks(n, 256), 256>>>(from, n, reinterpret_cast<__nv_bfloat16*>(to));
}
void launch_widen(const int8_t* from, int64_t n, Bf16* to) {
  to_bfloat16<<<blocks(n, 256), 256>>>(from, n, reinterpret_cast<__nv_bfloat16*>(to));
}

}  // namespace bitloop::cuda
