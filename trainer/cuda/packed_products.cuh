// Products of few rows with a weight that stays packed: what one step of generation is made of. A
// warp makes an output: its lanes take the numbers of the weight's row in turns, as they lie in
// memory, and take each apart into codes in registers. Sums are added in an order that never
// changes. Plain CUDA, without headers: a test runs it thread by thread on the processor.
#pragma once

#include "trainer/kernels/packed_weight.h"

namespace bitloop::cuda {

constexpr int kPackedWarps = 4;  // outputs of a block
constexpr int kPackedRows = 4;   // of x, that a warp holds sums of
constexpr int kPackedTable = 256;

// 64 bits from there on; what they are more than is asked for is masked away.
__device__ inline uint64_t bits_from(const uint8_t* bytes, int64_t bit) {
  const auto* words = reinterpret_cast<const uint64_t*>(bytes);
  const int64_t word = bit / 64;
  const int shift = static_cast<int>(bit % 64);
  const uint64_t low = words[word] >> shift;
  return shift == 0 ? low : low | words[word + 1] << (64 - shift);
}

__device__ inline int64_t place_of(const kernels::PlacedNumbers& numbers, int64_t n, int64_t k,
                                   int64_t K) {
  switch (numbers.kind) {
    case kernels::PlacedNumbers::kRows:
      return n;
    case kernels::PlacedNumbers::kGroups:
      return n * ((K + numbers.group - 1) / numbers.group) + k / numbers.group;
    case kernels::PlacedNumbers::kFlatGroups:
      return (n * K + k) / numbers.group;
    default:
      return 0;
  }
}

// body(k, code) for the codes of row n that this lane has.
template <typename Body>
__device__ inline void each_code(const kernels::PackedWeight& w, int64_t n, int lane, Body body) {
  const int64_t first = n * w.K, last = first + w.K;
  const uint64_t mask = (uint64_t{1} << w.bits) - 1;
  const bool halves = (w.levels & (w.levels - 1)) == 0;
  int width = 0;
  while ((1 << width) < w.levels) ++width;
  for (int64_t m = first / w.codes + lane; m * w.codes < last; m += 32) {
    uint64_t number = w.bits == 8 ? w.bytes[m] : bits_from(w.bytes, m * w.bits) & mask;
    int64_t k = m * w.codes - first;
    for (int i = 0; i < w.codes; ++i, ++k) {
      uint32_t code;
      if (halves) {
        code = static_cast<uint32_t>(number) & (w.levels - 1);
        number >>= width;
      } else if (number >> 32 != 0) {
        code = static_cast<uint32_t>(number % static_cast<uint32_t>(w.levels));
        number /= static_cast<uint32_t>(w.levels);
      } else {
        const auto small = static_cast<uint32_t>(number);
        code = small % w.levels;
        number = small / w.levels;
      }
      if (k >= 0 && k < w.K) body(k, code);
    }
  }
}

template <typename Number>
__device__ inline Number add_lanes(Number sum) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  return sum;
}

// Grid: outputs by kPackedWarps, rows of x by kPackedRows. Block: 32 x kPackedWarps.
__global__ void packed_integers(const kernels::PackedProduct p) {
  __shared__ int32_t integers[kPackedTable];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane + 32 * static_cast<int>(threadIdx.y); i < p.weight.levels;
       i += 32 * kPackedWarps)
    integers[i] = p.weight.integers[i];
  __syncthreads();
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kPackedWarps + threadIdx.y,
                row = static_cast<int64_t>(blockIdx.y) * kPackedRows, K = p.weight.K;
  if (n >= p.weight.N) return;
  const int rows = static_cast<int>(p.R - row < kPackedRows ? p.R - row : kPackedRows);
  uint32_t sums[kPackedRows] = {};  // modulo 2^32
  each_code(p.weight, n, lane, [&](int64_t k, uint32_t code) {
    const int32_t w = integers[code];
#pragma unroll
    for (int r = 0; r < kPackedRows; ++r)
      if (r < rows) sums[r] += static_cast<uint32_t>(w * p.codes[(row + r) * K + k]);
  });
#pragma unroll
  for (int r = 0; r < kPackedRows; ++r) {
    const auto sum = static_cast<int32_t>(add_lanes(sums[r]));
    if (lane != 0 || r >= rows) continue;
    const float scale = p.x_scale[(row + r) * p.x_stride] * p.w_scale[n * p.w_stride];
    const float y = __fmul_rn(static_cast<float>(sum), scale);
    p.y[(row + r) * p.weight.N + n] = p.bias != nullptr ? __fadd_rn(y, p.bias[n]) : y;
  }
}

__global__ void packed_floats(const kernels::PackedProduct p) {
  __shared__ float values[kPackedTable];
  const kernels::PackedWeight& w = p.weight;
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane + 32 * static_cast<int>(threadIdx.y); w.codebook == nullptr && i < w.levels;
       i += 32 * kPackedWarps)
    values[i] = w.values[i];
  __syncthreads();
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kPackedWarps + threadIdx.y,
                row = static_cast<int64_t>(blockIdx.y) * kPackedRows, K = w.K;
  if (n >= w.N) return;
  const int rows = static_cast<int>(p.R - row < kPackedRows ? p.R - row : kPackedRows);
  const int64_t blocks = (K + w.block - 1) / w.block;
  float sums[kPackedRows] = {};
  each_code(w, n, lane, [&](int64_t k, uint32_t code) {
    float v;
    if (w.codebook != nullptr) {
      v = w.codebook[(n * blocks + k / w.block) * w.entries + code];
    } else {
      v = __fmul_rn(values[code], w.scale.numbers[place_of(w.scale, n, k, K)]);
      if (w.offset.numbers != nullptr)
        v = __fadd_rn(v, w.offset.numbers[place_of(w.offset, n, k, K)]);
    }
#pragma unroll
    for (int r = 0; r < kPackedRows; ++r)
      if (r < rows) sums[r] = fmaf(v, p.x[(row + r) * K + k], sums[r]);
  });
#pragma unroll
  for (int r = 0; r < kPackedRows; ++r) {
    const float sum = add_lanes(sums[r]);
    if (lane == 0 && r < rows)
      p.y[(row + r) * w.N + n] = p.bias != nullptr ? __fadd_rn(sum, p.bias[n]) : sum;
  }
}

}  // namespace bitloop::cuda
