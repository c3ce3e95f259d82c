// Causal softmax between the products of attention, for a block of queries: scores come as float32
// accumulators, weights leave as bfloat16 in the layouts that the next products read. All functions
// run in the calling thread.
//
// Legend: rows queries, of which row r sees keys 0 .. first + r; n = first + rows keys in all;
// first and rows are multiples of 16;
// stride between rows of the matrices of floats and of bfloat16, in elements.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

struct ScoreBlock {
  int64_t rows, first, n, stride;
  float factor;  // on scores, in base 2: log2(e) / sqrt(head size)
};

// weights[r, j] = 2^(factor (scores[r, j] - largest[r])), zero for keys not seen; the sum of a row
// is 1 / inverse[r]. Scores not seen may be anything.
void causal_softmax(const ScoreBlock& block, const float* scores, uint16_t* weights, float* largest,
                    float* inverse);

// From scores (as they came) and products[r, j] = dout[r] · v[j], with delta[r] = dout[r] · out[r]:
//   p[r, j] = the normalised weight, ds[r, j] = p (products - delta) scale.
// Writes ds, and the words of p and ds (rows / 2, n): rows 2i and 2i + 1 side by side, `stride`
// words apart.
void causal_softmax_backward(const ScoreBlock& block, float scale, const float* scores,
                             const float* products, const float* largest, const float* inverse,
                             const float* delta, uint16_t* ds, uint32_t* p_pairs,
                             uint32_t* ds_pairs);

}  // namespace bitloop::kernels
