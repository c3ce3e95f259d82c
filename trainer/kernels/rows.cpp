#include "trainer/kernels/rows.h"

#include <cmath>

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/simd.h"

namespace bitloop::kernels {
namespace {

BITLOOP_SIMD void finish_integer(const Product& p, int64_t rows, const float* residual,
                                 float* out) {
  const int64_t N = p.N;
  const int32_t* shift = p.shift;
  const float *w_scale = p.w_scale, *bias = p.bias;
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t* acc = static_cast<const int32_t*>(p.acc) + r * N;
    const float scale = p.x_scale[r * p.x_stride];
    float* to = out + r * N;
    if (residual != nullptr) {
      const float* add = residual + r * N;
#pragma omp simd
      for (int64_t c = 0; c < N; ++c)
        to[c] = add[c] + (static_cast<float>(acc[c] - shift[c]) * (scale * w_scale[c]) + bias[c]);
    } else {
#pragma omp simd
      for (int64_t c = 0; c < N; ++c)
        to[c] = static_cast<float>(acc[c] - shift[c]) * (scale * w_scale[c]) + bias[c];
    }
  }
}

BITLOOP_SIMD void finish_float(const Product& p, int64_t rows, const float* residual, float* out) {
  const int64_t N = p.N;
  const float* bias = p.bias;
  for (int64_t r = 0; r < rows; ++r) {
    const float* acc = static_cast<const float*>(p.acc) + r * N;
    float* to = out + r * N;
    if (residual != nullptr) {
      const float* add = residual + r * N;
#pragma omp simd
      for (int64_t c = 0; c < N; ++c) to[c] = add[c] + (acc[c] + bias[c]);
    } else {
#pragma omp simd
      for (int64_t c = 0; c < N; ++c) to[c] = acc[c] + bias[c];
    }
  }
}

BITLOOP_SIMD void finish_integer_bfloat16(const Product& p, int64_t rows, uint16_t* out) {
  const int64_t N = p.N;
  const int32_t* shift = p.shift;
  const float *w_scale = p.w_scale, *bias = p.bias;
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t* acc = static_cast<const int32_t*>(p.acc) + r * N;
    const float scale = p.x_scale[r * p.x_stride];
    uint16_t* to = out + r * N;
#pragma omp simd
    for (int64_t c = 0; c < N; ++c)
      to[c] =
          to_bfloat16(static_cast<float>(acc[c] - shift[c]) * (scale * w_scale[c]) + bias[c]);
  }
}

BITLOOP_SIMD void finish_float_bfloat16(const Product& p, int64_t rows, uint16_t* out) {
  const int64_t N = p.N;
  const float* bias = p.bias;
  for (int64_t r = 0; r < rows; ++r) {
    const float* acc = static_cast<const float*>(p.acc) + r * N;
    uint16_t* to = out + r * N;
#pragma omp simd
    for (int64_t c = 0; c < N; ++c) to[c] = to_bfloat16(acc[c] + bias[c]);
  }
}

// Sum of exponentials; leaves them in `out`.
BITLOOP_SIMD float exponentials(const float* logits, int64_t V, float* out, float* largest_out) {
  float largest = logits[0];
#pragma omp simd reduction(max : largest)
  for (int64_t c = 0; c < V; ++c) largest = logits[c] > largest ? logits[c] : largest;
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < V; ++c) {
    out[c] = exp_inline(logits[c] - largest);
    sum += out[c];
  }
  *largest_out = largest;
  return sum;
}

BITLOOP_SIMD void multiply(float* values, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) values[i] *= factor;
}

}  // namespace

Product Product::from_row(int64_t r) const {
  Product moved = *this;
  moved.acc = static_cast<const char*>(acc) + r * N * 4;  // int32 and float are equally long
  if (x_scale != nullptr) moved.x_scale = x_scale + r * x_stride;
  return moved;
}

void finish_product(const Product& product, int64_t rows, const float* residual, float* out) {
  if (product.integer) {
    finish_integer(product, rows, residual, out);
  } else {
    finish_float(product, rows, residual, out);
  }
}

void finish_product_bfloat16(const Product& product, int64_t rows, uint16_t* out) {
  if (product.integer) {
    finish_integer_bfloat16(product, rows, out);
  } else {
    finish_float_bfloat16(product, rows, out);
  }
}

namespace {

constexpr int64_t kNormRows = 4;  // at a time: what one row waits for, the others fill

#define BITLOOP_LANES(p) (*reinterpret_cast<const LanesInMemory*>(p))
#define BITLOOP_MUTABLE_LANES(p) (*reinterpret_cast<LanesInMemory*>(p))

template <int64_t kRows>
[[gnu::always_inline]] inline void normalise(const float* x, const float* weight, const float* bias,
                                             int64_t D, float epsilon, float* out, float* mean,
                                             float* rstd) {
  const float share = 1.0f / static_cast<float>(D);
  Lanes sums[kRows] = {}, squares[kRows] = {};
  for (int64_t c = 0; c < D; c += kLanes)
    for (int64_t r = 0; r < kRows; ++r) sums[r] += BITLOOP_LANES(x + r * D + c);
  for (int64_t r = 0; r < kRows; ++r) {
    sum_across(sums[r]);
    sums[r] *= share;
  }
  for (int64_t c = 0; c < D; c += kLanes)
    for (int64_t r = 0; r < kRows; ++r) {
      const Lanes centred = BITLOOP_LANES(x + r * D + c) - sums[r];
      squares[r] += centred * centred;
    }
  for (int64_t r = 0; r < kRows; ++r) {
    sum_across(squares[r]);
    mean[r] = sums[r][0];
    rstd[r] = 1.0f / __builtin_sqrtf(squares[r][0] * share + epsilon);
  }
  for (int64_t c = 0; c < D; c += kLanes) {
    const Lanes w = BITLOOP_LANES(weight + c), b = BITLOOP_LANES(bias + c);
    for (int64_t r = 0; r < kRows; ++r)
      BITLOOP_MUTABLE_LANES(out + r * D + c) =
          (BITLOOP_LANES(x + r * D + c) - sums[r]) * rstd[r] * w + b;
  }
}

template <int64_t kRows>
[[gnu::always_inline]] inline void pass_norm(const float* dy, const float* x, const float* mean,
                                             const float* rstd, const float* weight, int64_t D,
                                             float* dx, float* dweight, float* dbias) {
  const float share = 1.0f / static_cast<float>(D);
  Lanes sums[kRows] = {}, dots[kRows] = {};
  for (int64_t c = 0; c < D; c += kLanes) {
    const Lanes w = BITLOOP_LANES(weight + c);
    Lanes dw = BITLOOP_LANES(dweight + c), db = BITLOOP_LANES(dbias + c);
    for (int64_t r = 0; r < kRows; ++r) {
      const Lanes gradient = BITLOOP_LANES(dy + r * D + c),
                  normal = (BITLOOP_LANES(x + r * D + c) - mean[r]) * rstd[r],
                  scaled = gradient * w;
      sums[r] += scaled;
      dots[r] += scaled * normal;
      dw += gradient * normal;
      db += gradient;
    }
    BITLOOP_MUTABLE_LANES(dweight + c) = dw;
    BITLOOP_MUTABLE_LANES(dbias + c) = db;
  }
  for (int64_t r = 0; r < kRows; ++r) {
    sum_across(sums[r]);
    sum_across(dots[r]);
    sums[r] *= share;
    dots[r] *= share;
  }
  for (int64_t c = 0; c < D; c += kLanes) {
    const Lanes w = BITLOOP_LANES(weight + c);
    for (int64_t r = 0; r < kRows; ++r) {
      const Lanes normal = (BITLOOP_LANES(x + r * D + c) - mean[r]) * rstd[r];
      BITLOOP_MUTABLE_LANES(dx + r * D + c) +=
          rstd[r] * (BITLOOP_LANES(dy + r * D + c) * w - sums[r] - normal * dots[r]);
    }
  }
}

#undef BITLOOP_LANES
#undef BITLOOP_MUTABLE_LANES

}  // namespace

BITLOOP_SIMD void layer_norm(const float* x, const float* weight, const float* bias, int64_t rows,
                             int64_t D, double epsilon, float* out, float* mean, float* rstd) {
  const auto tiny = static_cast<float>(epsilon);
  int64_t r = 0;
  for (; r + kNormRows <= rows; r += kNormRows)
    normalise<kNormRows>(x + r * D, weight, bias, D, tiny, out + r * D, mean + r, rstd + r);
  for (; r < rows; ++r)
    normalise<1>(x + r * D, weight, bias, D, tiny, out + r * D, mean + r, rstd + r);
}

BITLOOP_SIMD void layer_norm_backward(const float* dy, const float* x, const float* mean,
                                      const float* rstd, const float* weight, int64_t rows,
                                      int64_t D, float* dx, float* dweight, float* dbias) {
  int64_t r = 0;
  for (; r + kNormRows <= rows; r += kNormRows)
    pass_norm<kNormRows>(dy + r * D, x + r * D, mean + r, rstd + r, weight, D, dx + r * D, dweight,
                         dbias);
  for (; r < rows; ++r)
    pass_norm<1>(dy + r * D, x + r * D, mean + r, rstd + r, weight, D, dx + r * D, dweight, dbias);
}

BITLOOP_SIMD void mix(const float* from, float share, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = from[i] + share * (y[i] - from[i]);
}

BITLOOP_SIMD void multiply_rows(float* values, int64_t rows, int64_t n, int64_t stride,
                                const float* factor) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < n; ++c) values[r * stride + c] *= factor[r];
}

BITLOOP_SIMD void round_and_dot_heads(const float* dout, const float* out, int64_t rows, int64_t H,
                                      int64_t S, uint16_t* rounded, float* deltas,
                                      int64_t stride) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t h = 0; h < H; ++h) {
      const int64_t at = (r * H + h) * S;
      Lanes sums = {};
      for (int64_t i = at; i < at + S; i += kLanes) {
        const Lanes gradient = *reinterpret_cast<const LanesInMemory*>(dout + i);
        sums += gradient * *reinterpret_cast<const LanesInMemory*>(out + i);
        WordLanes words;
        pair_lanes(gradient, Lanes{}, words);
        store_low_halves(words, rounded + i);
      }
      sum_across(sums);
      deltas[h * stride + r] = sums[0];
    }
}

double cross_entropy_row(const float* logits, int64_t V, int64_t target, float scale,
                         float* dlogits) {
  const float goal = logits[target];
  float largest = 0.0f;
  const float sum = exponentials(logits, V, dlogits, &largest);
  multiply(dlogits, V, scale / sum);
  dlogits[target] -= scale;
  return std::log(static_cast<double>(sum)) + (static_cast<double>(largest) - goal);
}

}  // namespace bitloop::kernels
