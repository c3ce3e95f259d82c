#include "trainer/kernels/softmax.h"

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/simd.h"

namespace bitloop::kernels {
namespace {

#define LOAD(p) (*reinterpret_cast<const LanesInMemory*>(p))
#define STORE_WORDS(p, v) (*reinterpret_cast<WordLanesInMemory*>(p) = (v))

constexpr float kUnseen = -3.0e38f;  // the score of a key that a query does not see

// Row r of a block sees keys 0 .. first + r of n = first + rows: only the last `rows` columns hide
// any.
__attribute__((always_inline)) inline void hide(int64_t r, int64_t rows, float* last_columns) {
  for (int64_t j = r + 1; j < rows; ++j) last_columns[j] = kUnseen;
}

// All lanes become their largest, or their sum, in four exchanges.
#define EXCHANGED(x, ...) __builtin_shuffle(x, WordLanes{__VA_ARGS__})
#define ACROSS(x, combine)                                                        \
  combine(x, EXCHANGED(x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
  combine(x, EXCHANGED(x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)); \
  combine(x, EXCHANGED(x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)); \
  combine(x, EXCHANGED(x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))

__attribute__((always_inline)) inline void keep_larger(Lanes& x, const Lanes& other) {
  x = other > x ? other : x;
}
__attribute__((always_inline)) inline void add(Lanes& x, const Lanes& other) { x += other; }

// p and ds of 16 keys.
__attribute__((always_inline)) inline void pass_back(const float* scores, const float* products,
                                                     float factor, float largest, float inverse,
                                                     float delta, float scale, Lanes& p,
                                                     Lanes& ds) {
  const Lanes score = LOAD(scores);
  p = (score - largest) * factor;
  exp2_lanes(p);
  p = score > kUnseen ? p * inverse : Lanes{};
  ds = p * (LOAD(products) - delta) * scale;
}

}  // namespace

BITLOOP_SIMD void causal_softmax(const ScoreBlock& block, float* scores, uint16_t* weights,
                                 float* largest, float* inverse) {
  for (int64_t r = 0; r < block.rows; ++r) {
    float* row = scores + r * block.stride;
    uint16_t* out = weights + r * block.stride;
    hide(r, block.rows, row + block.first);
    Lanes top = LOAD(row);
    for (int64_t j = kLanes; j < block.n; j += kLanes) {
      const Lanes x = LOAD(row + j);
      top = x > top ? x : top;
    }
    ACROSS(top, keep_larger);
    Lanes sums = {};
    for (int64_t j = 0; j < block.n; j += kLanes) {
      const Lanes score = LOAD(row + j);
      Lanes weight = (score - top) * block.factor;
      exp2_lanes(weight);
      weight = score > kUnseen ? weight : Lanes{};
      sums += weight;
      WordLanes word;
      pair_lanes(weight, Lanes{}, word);
      store_low_halves(word, out + j);
    }
    ACROSS(sums, add);
    largest[r] = top[0];
    inverse[r] = 1.0f / sums[0];
  }
}

BITLOOP_SIMD void causal_softmax_backward(const ScoreBlock& block, float scale, float* scores,
                                          const float* products, const float* largest,
                                          const float* inverse, const float* delta, uint16_t* ds,
                                          uint32_t* p_pairs, uint32_t* ds_pairs) {
  const int64_t stride = block.stride;
  for (int64_t r = 0; r < block.rows; r += 2) {
    float* score_rows = scores + r * stride;
    const float* product_rows = products + r * stride;
    hide(r, block.rows, score_rows + block.first);
    hide(r + 1, block.rows, score_rows + stride + block.first);
    uint32_t *p_words = p_pairs + r / 2 * stride, *ds_words = ds_pairs + r / 2 * stride;
    uint16_t* ds_rows = ds + r * stride;
    for (int64_t j = 0; j < block.n; j += kLanes) {
      Lanes p0, ds0, p1, ds1;
      pass_back(score_rows + j, product_rows + j, block.factor, largest[r], inverse[r], delta[r],
                scale, p0, ds0);
      pass_back(score_rows + stride + j, product_rows + stride + j, block.factor, largest[r + 1],
                inverse[r + 1], delta[r + 1], scale, p1, ds1);
      WordLanes word;
      pair_lanes(p0, p1, word);
      STORE_WORDS(p_words + j, word);
      pair_lanes(ds0, ds1, word);
      STORE_WORDS(ds_words + j, word);
      store_low_halves(word & 0xffffu, ds_rows + j);
      store_low_halves(word >> 16, ds_rows + stride + j);
    }
  }
}

}  // namespace bitloop::kernels
