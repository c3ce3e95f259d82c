#include "trainer/kernels/decode_attention.h"

#include <algorithm>
#include <cmath>

namespace bitloop::kernels {
namespace {

float dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void decode_attention(const float* q, const float* keys, const float* values,
                      const DecodeShape& shape, float* scores, float* out) {
  const auto [T, H, G, S] = shape;
  const int64_t D = H * S, row_size = G * S, share_of = H / G;
  const float factor = 1.0f / std::sqrt(static_cast<float>(S));
  std::fill_n(out, D, 0.0f);
  // Row by row over all heads, in the order of memory.
  for (int64_t t = 0; t < T; ++t)
    for (int64_t g = 0; g < G; ++g)
      for (int64_t h = g * share_of; h < (g + 1) * share_of; ++h)
        scores[h * T + t] = dot(q + h * S, keys + t * row_size + g * S, S);
  for (int64_t h = 0; h < H; ++h) {
    float* row = scores + h * T;
    const float most = *std::max_element(row, row + T);
    float sum = 0;
    for (int64_t t = 0; t < T; ++t) {
      row[t] = std::exp((row[t] - most) * factor);
      sum += row[t];
    }
    for (int64_t t = 0; t < T; ++t) row[t] /= sum;
  }
  for (int64_t t = 0; t < T; ++t)
    for (int64_t g = 0; g < G; ++g)
      for (int64_t h = g * share_of; h < (g + 1) * share_of; ++h) {
        const float share = scores[h * T + t];
        const float* value = values + t * row_size + g * S;
        float* sum = out + h * S;
#pragma omp simd
        for (int64_t i = 0; i < S; ++i) sum[i] += share * value[i];
      }
}

}  // namespace bitloop::kernels
