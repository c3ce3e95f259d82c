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

BITLOOP_SIMD void layer_norm_row(const float* x, const float* weight, const float* bias, int64_t D,
                                 double epsilon, float* out, float* mean_out, float* rstd_out) {
  const float share = 1.0f / static_cast<float>(D);
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < D; ++c) sum += x[c];
  const float mean = sum * share;
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < D; ++c) squares += (x[c] - mean) * (x[c] - mean);
  const float rstd = 1.0f / __builtin_sqrtf(squares * share + static_cast<float>(epsilon));
#pragma omp simd
  for (int64_t c = 0; c < D; ++c) out[c] = (x[c] - mean) * rstd * weight[c] + bias[c];
  *mean_out = mean;
  *rstd_out = rstd;
}

BITLOOP_SIMD void layer_norm_backward(const float* dy, const float* x, const float* mean,
                                      const float* rstd, const float* weight, int64_t rows,
                                      int64_t D, float* dx, float* dweight, float* dbias) {
  const float share = 1.0f / static_cast<float>(D);
  for (int64_t r = 0; r < rows; ++r) {
    const float *dy_row = dy + r * D, *x_row = x + r * D;
    float* dx_row = dx + r * D;
    const float center = mean[r], slope = rstd[r];
    float sum = 0.0f, dot = 0.0f;
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t c = 0; c < D; ++c) {
      const float normal = (x_row[c] - center) * slope, scaled = dy_row[c] * weight[c];
      sum += scaled;
      dot += scaled * normal;
      dweight[c] += dy_row[c] * normal;
      dbias[c] += dy_row[c];
    }
    sum *= share;
    dot *= share;
#pragma omp simd
    for (int64_t c = 0; c < D; ++c) {
      const float normal = (x_row[c] - center) * slope;
      dx_row[c] += slope * (dy_row[c] * weight[c] - sum - normal * dot);
    }
  }
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
