#include "trainer/kernels/attention.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "trainer/kernels/packing.h"
#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

#define BITLOOP_INLINE __attribute__((always_inline)) inline

constexpr int64_t kRows =
    8;  // queries at a time: eight accumulators hide the latency of a multiply-add

// Macros, not functions: a vector passed by value would have another calling convention in each
// clone.
#define LOAD(p) (*reinterpret_cast<const LanesInMemory*>(p))
#define STORE(p, v) (*reinterpret_cast<LanesInMemory*>(p) = (v))

constexpr float kUnseen = -3.0e38f;  // the score of a key that a query does not see

int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// One head's view of the tensors: rows are `stride` floats apart.
struct Head {
  const float *q, *k, *v;
  int64_t T, stride;
};

// Scratch of one thread, reused over its heads.
struct Scratch {
  std::vector<float> kt, vt;        // (S, Tp) keys and values transposed
  std::vector<float> scores, dots;  // (kRows, Tp)
  std::vector<float> dk, dv;        // (T, S)
  Scratch(int64_t T, int64_t S, bool backward)
      : kt(static_cast<size_t>(S * padded(T))), scores(static_cast<size_t>(kRows * padded(T))) {
    if (!backward) return;
    vt.resize(kt.size());
    dots.resize(scores.size());
    dk.resize(static_cast<size_t>(T * S));
    dv.resize(static_cast<size_t>(T * S));
  }
};

// to (S, Tp) = from (T, S) transposed, the tail zero.
void transpose(const float* from, int64_t T, int64_t S, int64_t stride, float* to) {
  const int64_t Tp = padded(T);
  transpose_words(from, T, S, stride, to, Tp);
  for (int64_t d = 0; d < S && T < Tp; ++d) std::fill(to + d * Tp + T, to + (d + 1) * Tp, 0.0f);
}

// One tile of rows_times_columns: kRows x (W lanes) sums in registers.
template <int64_t S, int64_t W>
BITLOOP_INLINE void tile_of_columns(const float* const* row, const float* bt, int64_t Tp,
                                    float* out) {
  Lanes sum[kRows][W] = {};
  for (int64_t d = 0; d < S; ++d) {
    Lanes b[W];
    for (int64_t w = 0; w < W; ++w) b[w] = LOAD(bt + d * Tp + w * kLanes);
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t w = 0; w < W; ++w) sum[r][w] += row[r][d] * b[w];
  }
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t w = 0; w < W; ++w) STORE(out + r * Tp + w * kLanes, sum[r][w]);
}

// out (kRows, n) = a (kRows, S) · bt (S, Tp), for the first n columns rounded up to whole lanes.
// Rows of `a` beyond `rows` repeat the last one.
template <int64_t S>
BITLOOP_INLINE void rows_times_columns(const float* a, int64_t a_stride, int64_t rows,
                                       const float* bt, int64_t Tp, int64_t n, float* out) {
  const float* row[kRows];
  for (int64_t r = 0; r < kRows; ++r) row[r] = a + (r < rows ? r : rows - 1) * a_stride;
  int64_t j = 0;
  for (; j + kLanes < n; j += 2 * kLanes) tile_of_columns<S, 2>(row, bt + j, Tp, out + j);
  if (j < n) tile_of_columns<S, 1>(row, bt + j, Tp, out + j);
}

// out (rows, S) = p (kRows, Tp)[:, :n] · b (n, S).
template <int64_t S>
BITLOOP_INLINE void weights_times_rows(const float* p, int64_t Tp, int64_t n, const float* b,
                                       int64_t b_stride, int64_t rows, float* out,
                                       int64_t out_stride) {
  constexpr int64_t W = S >= 2 * kLanes ? 2 : 1;
  for (int64_t c = 0; c < S; c += W * kLanes) {
    Lanes sum[kRows][W] = {};
    for (int64_t j = 0; j < n; ++j) {
      Lanes v[W];
      for (int64_t w = 0; w < W; ++w) v[w] = LOAD(b + j * b_stride + c + w * kLanes);
      for (int64_t r = 0; r < kRows; ++r)
        for (int64_t w = 0; w < W; ++w) sum[r][w] += p[r * Tp + j] * v[w];
    }
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t w = 0; w < W; ++w) STORE(out + r * out_stride + c + w * kLanes, sum[r][w]);
  }
}

// out (n, S) += p (kRows, Tp)[:rows, :n]ᵀ · a (rows, S). Rows of p beyond `rows` are zero.
template <int64_t S>
BITLOOP_INLINE void add_outer_products(const float* p, int64_t Tp, int64_t n, const float* a,
                                       int64_t a_stride, int64_t rows, float* out) {
  constexpr int64_t W = S >= 2 * kLanes ? 2 : 1;
  for (int64_t c = 0; c < S; c += W * kLanes) {
    Lanes row[kRows][W];
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t w = 0; w < W; ++w)
        row[r][w] = LOAD(a + (r < rows ? r : rows - 1) * a_stride + c + w * kLanes);
    for (int64_t j = 0; j < n; ++j) {
      Lanes sum[W];
      for (int64_t w = 0; w < W; ++w) sum[w] = LOAD(out + j * S + c + w * kLanes);
      for (int64_t r = 0; r < kRows; ++r)
        for (int64_t w = 0; w < W; ++w) sum[w] += p[r * Tp + j] * row[r][w];
      for (int64_t w = 0; w < W; ++w) STORE(out + j * S + c + w * kLanes, sum[w]);
    }
  }
}

template <int64_t S>
BITLOOP_INLINE void forward_head(const Head& head, Scratch& scratch, float* out, int64_t out_stride,
                                 float* lse) {
  const int64_t T = head.T, Tp = padded(T);
  const float scale = 1.0f / std::sqrt(static_cast<float>(S));
  transpose(head.k, T, S, head.stride, scratch.kt.data());
  float* scores = scratch.scores.data();
  for (int64_t i = 0; i < T; i += kRows) {
    const int64_t rows = std::min(kRows, T - i),
                  n = i + rows;  // keys that the last of these queries sees
    rows_times_columns<S>(head.q + i * head.stride, head.stride, rows, scratch.kt.data(), Tp, n,
                          scores);
    float inverse[kRows] = {};
    for (int64_t r = 0; r < rows; ++r) {
      float* row = scores + r * Tp;
      const int64_t seen = i + r + 1;
      // Whole lanes: what lies beyond the last key seen weighs nothing.
      const int64_t whole = padded(seen);
      for (int64_t j = seen; j < whole; ++j) row[j] = kUnseen;
      float largest = kUnseen;
#pragma omp simd reduction(max : largest)
      for (int64_t j = 0; j < whole; ++j) largest = row[j] > largest ? row[j] : largest;
      float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < whole; ++j) {
        const float weight = row[j] > kUnseen ? exp_inline((row[j] - largest) * scale) : 0.0f;
        row[j] = weight;
        sum += weight;
      }
      for (int64_t j = whole; j < n; ++j) row[j] = 0.0f;
      inverse[r] = 1.0f / sum;
      lse[i + r] = largest * scale + std::log(sum);
    }
    float* to = out + i * out_stride;
    weights_times_rows<S>(scores, Tp, n, head.v, head.stride, rows, to, out_stride);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < S; ++d) to[r * out_stride + d] *= inverse[r];
  }
}

template <int64_t S>
BITLOOP_INLINE void backward_head(const Head& head, Scratch& scratch, const float* out,
                                  const float* dout, int64_t out_stride, const float* lse,
                                  float* dq, float* dk, float* dv) {
  const int64_t T = head.T, Tp = padded(T);
  const float scale = 1.0f / std::sqrt(static_cast<float>(S));
  transpose(head.k, T, S, head.stride, scratch.kt.data());
  transpose(head.v, T, S, head.stride, scratch.vt.data());
  std::fill(scratch.dk.begin(), scratch.dk.end(), 0.0f);
  std::fill(scratch.dv.begin(), scratch.dv.end(), 0.0f);
  float *p = scratch.scores.data(), *ds = scratch.dots.data();
  for (int64_t i = 0; i < T; i += kRows) {
    const int64_t rows = std::min(kRows, T - i), n = i + rows;
    const float *q = head.q + i * head.stride, *doi = dout + i * out_stride,
                *oi = out + i * out_stride;
    rows_times_columns<S>(q, head.stride, rows, scratch.kt.data(), Tp, n, p);
    rows_times_columns<S>(doi, out_stride, rows, scratch.vt.data(), Tp, n, ds);
    for (int64_t r = 0; r < kRows; ++r) {
      float *p_row = p + r * Tp, *ds_row = ds + r * Tp;
      if (r >= rows) {
        std::fill_n(p_row, n, 0.0f);
        std::fill_n(ds_row, n, 0.0f);
        continue;
      }
      float delta = 0.0f;  // sum over keys of p dp, which is dout · out
#pragma omp simd reduction(+ : delta)
      for (int64_t d = 0; d < S; ++d) delta += doi[r * out_stride + d] * oi[r * out_stride + d];
      const int64_t seen = i + r + 1, whole = padded(seen);
      const float log_sum = lse[i + r];
#pragma omp simd
      for (int64_t j = 0; j < whole; ++j) {
        p_row[j] = exp_inline(p_row[j] * scale - log_sum);
        ds_row[j] = p_row[j] * (ds_row[j] - delta) * scale;
      }
      for (int64_t j = seen; j < std::max(whole, n); ++j) p_row[j] = ds_row[j] = 0.0f;
    }
    weights_times_rows<S>(ds, Tp, n, head.k, head.stride, rows, dq + i * head.stride, head.stride);
    add_outer_products<S>(ds, Tp, n, q, head.stride, rows, scratch.dk.data());
    add_outer_products<S>(p, Tp, n, doi, out_stride, rows, scratch.dv.data());
  }
  for (int64_t t = 0; t < T; ++t) {
    std::copy_n(scratch.dk.data() + t * S, S, dk + t * head.stride);
    std::copy_n(scratch.dv.data() + t * S, S, dv + t * head.stride);
  }
}

// Versions for each head size and instruction set; a template can't carry the clones itself.
#define BITLOOP_HEAD_VERSIONS(S)                                                            \
  BITLOOP_SIMD void forward_head_##S(const Head& head, Scratch& scratch, float* out,        \
                                     int64_t stride, float* lse) {                          \
    forward_head<S>(head, scratch, out, stride, lse);                                       \
  }                                                                                         \
  BITLOOP_SIMD void backward_head_##S(const Head& head, Scratch& scratch, const float* out, \
                                      const float* dout, int64_t stride, const float* lse,  \
                                      float* dq, float* dk, float* dv) {                    \
    backward_head<S>(head, scratch, out, dout, stride, lse, dq, dk, dv);                    \
  }
BITLOOP_HEAD_VERSIONS(16)
BITLOOP_HEAD_VERSIONS(32)
BITLOOP_HEAD_VERSIONS(64)
#undef BITLOOP_HEAD_VERSIONS

// Heads [begin, end), counted over all sequences.
void forward_heads(const float* qkv, const AttentionShape& s, int64_t begin, int64_t end,
                   float* out, float* lse) {
  const int64_t D = s.H * s.S;
  const auto run = s.S == 16 ? forward_head_16 : s.S == 32 ? forward_head_32 : forward_head_64;
  Scratch scratch(s.T, s.S, false);
  for (int64_t n = begin; n < end; ++n) {
    const HeadPlace at = head_place(n, s);
    const float* base = qkv + at.qkv;
    run({base, base + D, base + 2 * D, s.T, 3 * D}, scratch, out + at.out, D, lse + at.rows);
  }
}

void backward_heads(const float* qkv, const float* out, const float* lse, const float* dout,
                    const AttentionShape& s, int64_t begin, int64_t end, float* dqkv) {
  const int64_t D = s.H * s.S;
  const auto run = s.S == 16 ? backward_head_16 : s.S == 32 ? backward_head_32 : backward_head_64;
  Scratch scratch(s.T, s.S, true);
  for (int64_t n = begin; n < end; ++n) {
    const HeadPlace at = head_place(n, s);
    const float* base = qkv + at.qkv;
    float* to = dqkv + at.qkv;
    run({base, base + D, base + 2 * D, s.T, 3 * D}, scratch, out + at.out, dout + at.out, D,
        lse + at.rows, to, to + D, to + 2 * D);
  }
}

}  // namespace

bool attention_supported(const AttentionShape& shape) {
  return shape.S == 16 || shape.S == 32 || shape.S == 64;
}

void attention_forward(const float* qkv, const AttentionShape& s, float* out, float* lse) {
  run_parts(s.B * s.H, 1,
                  [&](int64_t begin, int64_t end) { forward_heads(qkv, s, begin, end, out, lse); });
}

void attention_backward(const float* qkv, const float* out, const float* lse, const float* dout,
                        const AttentionShape& s, float* dqkv) {
  run_parts(s.B * s.H, 1, [&](int64_t begin, int64_t end) {
    backward_heads(qkv, out, lse, dout, s, begin, end, dqkv);
  });
}

}  // namespace bitloop::kernels
