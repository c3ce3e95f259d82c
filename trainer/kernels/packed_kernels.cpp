// The plain form of each kernel, which says what the others compute, and the choice among them.
#include "trainer/kernels/packed_kernels.h"

#include <bit>
#include <cmath>

namespace bitloop::kernels {
namespace {

int code_of(uint8_t byte, int in_byte, int i) {
  if (in_byte == 5) {
    constexpr int kPowers[] = {1, 3, 9, 27, 81};
    return byte / kPowers[i] % 3;
  }
  const int bits = 8 / in_byte;
  return byte >> (bits * i) & ((1 << bits) - 1);
}

void dot_packed(int in_byte, const PackedRow& row, int64_t rows, int32_t* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    uint32_t sum = 0;
    for (int64_t j = 0; j < row.count; ++j)
      for (int i = 0; i < in_byte; ++i)
        sum += static_cast<uint32_t>(code_of(row.bytes[j], in_byte, i) *
                                     row.planes[i][r * row.stride + j]);
    sums[r] = static_cast<int32_t>(sum);
  }
}

void dot_ordered(int in_byte, const OrderedRow* rows, int32_t* sums) {
  for (int64_t r = 0; r < kTogether; ++r) {
    uint32_t sum = 0;
    for (int64_t j = 0; j < rows[r].count; ++j)
      for (int i = 0; i < in_byte; ++i)
        sum += static_cast<uint32_t>(code_of(rows[r].bytes[j], in_byte, i) *
                                     rows[r].x[j / kStep * in_byte + i].of[j % kStep]);
    sums[r] = static_cast<int32_t>(sum);
  }
}

void dot_bytes(const uint8_t* u, const int8_t* x, int64_t stride, int64_t n, int64_t rows,
               int32_t* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    uint32_t sum = 0;
    for (int64_t k = 0; k < n; ++k) sum += static_cast<uint32_t>(u[k] * x[r * stride + k]);
    sums[r] = static_cast<int32_t>(sum);
  }
}

void dot_floats(const float* v, const float* x, int64_t stride, int64_t n, int64_t rows,
                float* sums) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < n; ++k) {
      float& sum = sums[r * kSums + k % kSums];
      sum = std::fma(v[k], x[r * stride + k], sum);
    }
}

void look_up(const float* table, int, const uint8_t* codes, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = table[codes[i]];
}

void widen(const uint16_t* from, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

Instructions detect() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
      __builtin_cpu_supports("avx512vbmi"))
    return Instructions::kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Instructions::kAvx2;
#endif
  return Instructions::kPlain;
}

}  // namespace

Instructions best_instructions() {
  static const Instructions best = detect();
  return best;
}

const PackedKernels& plain_kernels() {
  static constexpr PackedKernels kernels = {dot_packed, dot_bytes, dot_floats,  look_up, widen,
                                            nullptr,    nullptr,   dot_ordered, nullptr};
  return kernels;
}

const PackedKernels& packed_kernels(Instructions with) {
#if defined(__x86_64__)
  if (with == Instructions::kAvx512) return avx512_kernels();
  if (with == Instructions::kAvx2) return avx2_kernels();
#endif
  return plain_kernels();
}

float sum_of(const float* sums) {
  float all[kSums];
  for (int64_t i = 0; i < kSums; ++i) all[i] = sums[i];
  for (int64_t half = kSums / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) all[i] += all[i + half];
  return all[0];
}

}  // namespace bitloop::kernels
