#include "trainer/kernels/decode_attention.h"

#include <algorithm>
#include <cmath>

#include "trainer/kernels/prefetch.h"
#include "trainer/kernels/simd.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kAheadTokens = 8;

// A head's numbers of a token to come, far from those of this one, which no processor guesses.
void ask_for_numbers(const float* numbers, int64_t S) {
  ask_for({reinterpret_cast<const uint8_t*>(numbers), static_cast<size_t>(S) * sizeof(float)});
}

// Of one head: its scores over all tokens.
BITLOOP_SIMD void score(const float* q, const float* keys, int64_t T, int64_t stride, int64_t S,
                        float* scores) {
  for (int64_t t = 0; t < T; ++t) {
    const float* key = keys + t * stride;
    ask_for_numbers(key + kAheadTokens * stride, S);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < S; ++i) sum += q[i] * key[i];
    scores[t] = sum;
  }
}

BITLOOP_SIMD void weigh(float* scores, int64_t T, float factor) {
  const float most = *std::max_element(scores, scores + T);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t t = 0; t < T; ++t) {
    scores[t] = exp_everywhere((scores[t] - most) * factor);
    sum += scores[t];
  }
#pragma omp simd
  for (int64_t t = 0; t < T; ++t) scores[t] /= sum;
}

BITLOOP_SIMD void add_values(const float* scores, const float* values, int64_t T, int64_t stride,
                             int64_t S, float* out) {
  std::fill_n(out, S, 0.0f);
  for (int64_t t = 0; t < T; ++t) {
    const float share = scores[t];
    const float* value = values + t * stride;
    ask_for_numbers(value + kAheadTokens * stride, S);
#pragma omp simd
    for (int64_t i = 0; i < S; ++i) out[i] += share * value[i];
  }
}

}  // namespace

void decode_attention_part(const float* q, const float* keys, const float* values,
                           const DecodeShape& shape, int64_t begin, int64_t end, float* scores,
                           float* out) {
  const auto [T, H, G, S] = shape;
  const int64_t stride = G * S, share_of = H / G;
  const float factor = 1.0f / std::sqrt(static_cast<float>(S));
  for (int64_t g = begin; g < end; ++g)
    for (int64_t h = g * share_of; h < (g + 1) * share_of; ++h) {
      score(q + h * S, keys + g * S, T, stride, S, scores + h * T);
      weigh(scores + h * T, T, factor);
      add_values(scores + h * T, values + g * S, T, stride, S, out + h * S);
    }
}

void decode_attention(const float* q, const float* keys, const float* values,
                      const DecodeShape& shape, float* scores, float* out) {
  decode_attention_part(q, keys, values, shape, 0, shape.G, scores, out);
}

}  // namespace bitloop::kernels
