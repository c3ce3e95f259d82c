// Attention of one new token to all before it and itself: softmax(q kᵀ / sqrt(S)) v for each head.
// Legend: T tokens, H heads, G heads of keys and values, which H / G heads each share, S numbers of
// a head.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

struct DecodeShape {
  int64_t T, H, G, S;
};

// q and out (H S); keys and values (T, G S), row by row; `scores` has room for H T numbers.
void decode_attention(const float* q, const float* keys, const float* values,
                      const DecodeShape& shape, float* scores, float* out);
// The same for the heads that share keys and values [begin, end) of the G alone: the others' scores
// and outputs are not touched.
void decode_attention_part(const float* q, const float* keys, const float* values,
                           const DecodeShape& shape, int64_t begin, int64_t end, float* scores,
                           float* out);

}  // namespace bitloop::kernels
