// Attention of one new token to all before it and itself: softmax(q kᵀ / sqrt(S)) v for each head.
// Legend: T tokens, H heads, S numbers of a head.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// q and out (H S); keys and values (T, H S), row by row; `scores` has room for H T numbers.
void decode_attention(const float* q, const float* keys, const float* values, int64_t T, int64_t H,
                      int64_t S, float* scores, float* out);

}  // namespace bitloop::kernels
