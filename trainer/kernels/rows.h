// Row kernels of the fused training step: what stands between two products is computed for a few
// rows at a time, while they are in the cache. All functions run in the calling thread on
// contiguous rows. Legend: D width, N columns.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// The accumulators of a product, and what makes numbers of them:
//   integer: y[r, c] = float(acc[r, c] - shift[c]) * (x_scale[r * x_stride] * w_scale[c]) + bias[c]
//   else:    y[r, c] = acc[r, c] + bias[c]
struct Product {
  const void* acc = nullptr;  // (rows, N) int32 or float
  bool integer = false;
  int64_t N = 0;
  const int32_t* shift = nullptr;  // (N)
  const float* x_scale = nullptr;
  int64_t x_stride = 0;            // 0: one scale for all rows
  const float* w_scale = nullptr;  // (N)
  const float* bias = nullptr;     // (N), zeros where there is none

  // The same product seen from row r on.
  Product from_row(int64_t r) const;
};

// out (rows, N) = y (+ residual (rows, N), unless null).
void finish_product(const Product& product, int64_t rows, const float* residual, float* out);

// The same, rounded to bfloat16, without a residual.
void finish_product_bfloat16(const Product& product, int64_t rows, uint16_t* out);

// LayerNorm of rows (rows, D), D a multiple of 16: out = (x - mean) * rstd * weight + bias. Writes
// mean and rstd (rows). A row's numbers don't depend on how many there are.
void layer_norm(const float* x, const float* weight, const float* bias, int64_t rows, int64_t D,
                double epsilon, float* out, float* mean, float* rstd);

// Its backward: dx += dL/dx, dweight (D) and dbias (D) += their sums over the rows.
void layer_norm_backward(const float* dy, const float* x, const float* mean, const float* rstd,
                         const float* weight, int64_t rows, int64_t D, float* dx, float* dweight,
                         float* dbias);

// y[i] = from[i] + share (y[i] - from[i]).
void mix(const float* from, float share, int64_t n, float* y);
// values[r, c] *= factor[r] for (rows, n), rows `stride` apart.
void multiply_rows(float* values, int64_t rows, int64_t n, int64_t stride, const float* factor);
// Of dL/d(out) and out (rows, H S) of attention, S a multiple of 16: rounded (rows, H S) = dL/d(out)
// in bfloat16, and deltas[h * stride + r] = dL/d(out)[r, h] · out[r, h].
void round_and_dot_heads(const float* dout, const float* out, int64_t rows, int64_t H, int64_t S,
                         uint16_t* rounded, float* deltas, int64_t stride);

// Cross-entropy of one row of logits (V) against `target`, in nats; dlogits = scale * (softmax -
// one-hot). dlogits may be logits.
double cross_entropy_row(const float* logits, int64_t V, int64_t target, float scale,
                         float* dlogits);

}  // namespace bitloop::kernels
