#include "trainer/kernels/softmax.h"

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/simd.h"

namespace bitloop::kernels {
namespace {

#define LOAD(p) (*reinterpret_cast<const LanesInMemory*>(p))
#define STORE_WORDS(p, v) (*reinterpret_cast<WordLanesInMemory*>(p) = (v))

constexpr int64_t kTogether = 2;  // rows at a time: one waits for its sum while the other works

// Puts `instead` where a key lies beyond the last that its query sees; lane 0 is key j.
__attribute__((always_inline)) inline void hide(int64_t j, int64_t last, float instead,
                                                Lanes& values) {
  constexpr IntLanes kPlaces = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  values = kPlaces > static_cast<int32_t>(last - j) ? Lanes{} + instead : values;
}

// p and ds of 16 keys from j on, for one query.
__attribute__((always_inline)) inline void pass_back(const ScoreBlock& block, float scale, int64_t r,
                                                     int64_t j, const float* scores,
                                                     const float* products, float largest,
                                                     float inverse, float delta, Lanes& p,
                                                     Lanes& ds) {
  p = (LOAD(scores + r * block.stride + j) - largest) * block.factor;
  exp2_lanes(p);
  p *= inverse;
  if (j >= block.first) hide(j, block.first + r, 0.0f, p);
  ds = p * (LOAD(products + r * block.stride + j) - delta) * scale;
}

}  // namespace

BITLOOP_SIMD void causal_softmax(const ScoreBlock& block, const float* scores, uint16_t* weights,
                                 float* largest, float* inverse) {
  constexpr float kUnseen = -3.0e38f;
  for (int64_t r = 0; r < block.rows; r += kTogether) {
    const float* rows = scores + r * block.stride;
    uint16_t* out = weights + r * block.stride;
    Lanes top[kTogether], sums[kTogether] = {};
    for (int64_t i = 0; i < kTogether; ++i) top[i] = Lanes{} + kUnseen;
    for (int64_t j = 0; j < block.n; j += kLanes)
      for (int64_t i = 0; i < kTogether; ++i) {
        Lanes x = LOAD(rows + i * block.stride + j);
        if (j >= block.first) hide(j, block.first + r + i, kUnseen, x);
        top[i] = x > top[i] ? x : top[i];
      }
    for (int64_t i = 0; i < kTogether; ++i) largest_across(top[i]);
    for (int64_t j = 0; j < block.n; j += kLanes)
      for (int64_t i = 0; i < kTogether; ++i) {
        Lanes weight = (LOAD(rows + i * block.stride + j) - top[i]) * block.factor;
        exp2_lanes(weight);
        if (j >= block.first) hide(j, block.first + r + i, 0.0f, weight);
        sums[i] += weight;
        WordLanes word;
        pair_lanes(weight, Lanes{}, word);
        store_low_halves(word, out + i * block.stride + j);
      }
    for (int64_t i = 0; i < kTogether; ++i) {
      sum_across(sums[i]);
      largest[r + i] = top[i][0];
      inverse[r + i] = 1.0f / sums[i][0];
    }
  }
}

BITLOOP_SIMD void causal_softmax_backward(const ScoreBlock& block, float scale, const float* scores,
                                          const float* products, const float* largest,
                                          const float* inverse, const float* delta, uint16_t* ds,
                                          uint32_t* p_pairs, uint32_t* ds_pairs) {
  const int64_t stride = block.stride;
  for (int64_t r = 0; r < block.rows; r += 2) {
    uint32_t *p_words = p_pairs + r / 2 * stride, *ds_words = ds_pairs + r / 2 * stride;
    uint16_t* ds_rows = ds + r * stride;
    for (int64_t j = 0; j < block.n; j += kLanes) {
      Lanes p0, ds0, p1, ds1;
      pass_back(block, scale, r, j, scores, products, largest[r], inverse[r], delta[r], p0, ds0);
      pass_back(block, scale, r + 1, j, scores, products, largest[r + 1], inverse[r + 1],
                delta[r + 1], p1, ds1);
      WordLanes word;
      pair_lanes(p0, p1, word);
      STORE_WORDS(p_words + j, word);
      pair_lanes(ds0, ds1, word);
      STORE_WORDS(ds_words + j, word);
      store_low_halves(word, ds_rows + j);
      store_low_halves(word >> 16, ds_rows + stride + j);
    }
  }
}

}  // namespace bitloop::kernels
