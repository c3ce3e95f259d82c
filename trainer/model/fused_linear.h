// One BitLinear layer of the fused training step: packed weights, the quantised input of the last
// forward pass, and backward as one pass over the rows, in which the rows of dL/dy are made, packed
// and used up while they are in the cache.
//
// Legend: R rows, N output and K input features; chunk: rows that one pair of backward products
// takes.
#pragma once

#include <vector>

#include "trainer/kernels/packing.h"
#include "trainer/kernels/rows.h"
#include "trainer/kernels/team.h"
#include "trainer/model/activation.h"
#include "trainer/model/buffer.h"
#include "trainer/model/products.h"

namespace bitloop::trainer {

inline constexpr int64_t kChunk = 128;  // rows of a pair of backward products; even
inline constexpr int64_t kProduceRows = kernels::kMostGradientRows;  // of dL/dy made at a time
inline constexpr int64_t kForwardRows = 64;                          // rows of one forward product

// What one thread needs beside its rows, sized for the widest layer; in cache lines of its own.
struct alignas(64) LinearScratch {
  LinearScratch(int64_t widest_N, int64_t widest_K);

  Buffer<float> dy;                // (kProduceRows, N)
  Buffer<float> dx;                // (kChunk, K): between two layers that share a backward pass
  Buffer<uint16_t> dy_columns;     // (kChunk, N): left factor of dL/dx
  Buffer<uint8_t> dy_codes;        // (kChunk, N): the same in integers
  Buffer<float> dy_scale;          // (kChunk): of these
  Buffer<int32_t> dx_acc;          // (kChunk, K): their product
  Buffer<uint32_t> dy_transposed;  // (N, kChunk / 2) words: left factor of dL/dw
  Buffer<uint32_t> x_pairs;        // (kChunk / 2, K) words: right factor of dL/dw
  Buffer<uint8_t> shifted;         // (kForwardRows, K)
  Buffer<int32_t> acc;             // (kForwardRows, N), or float of the same size
  Buffer<float> float_acc;         // (kForwardRows, N): the float side of blended outputs
  // FusedLinear::row: blocks are taken of these rows, and this one's accumulators stand in acc.
  kernels::Range rows{0, 0};
  int64_t block = -1;        // its first row
  kernels::Product product;  // of that block

  // Before the first row of a product is asked for: which rows will be.
  void begin_rows(kernels::Range asked_for) {
    rows = asked_for;
    block = -1;
  }
};

// A parameter's gradient in memory that is kept from step to step.
class Gradient {
 public:
  // The gradient of `parameter`, (numel) floats. Where it has none yet it gets this one's memory:
  // zeros, or with `overwrite` whatever was there, and then *fresh says that it must be
  // overwritten.
  float* attach(const at::Tensor& parameter, bool* fresh = nullptr);

 private:
  at::Tensor memory_;
};

class FusedLinear {
 public:
  // Each of `threads` owns a multiple of `grain` rows. With `int8_gradient` the product that makes
  // dL/dx is one of int8 where the forward product is.
  FusedLinear(BitLinear& layer, int64_t rows, int64_t grain, int64_t threads,
              bool int8_gradient = false);

  int64_t N() const { return N_; }
  const char* kind() const { return layer_->layer.kind.c_str(); }  // for spans
  int64_t K() const { return K_; }

  // The weights changed: packs them again when they are needed, unless they are kept
  // (Q.requantize_every).
  void begin_step();

  // Quantises the input and packs the weights in the form that fits.
  Status take_input(const RowProducer& produce, const ForwardContext& context);
  // The same by threads that don't wait for each other: whether the rows of the input can be
  // quantised each for itself (see begin_activation_rows). Then pack_weights must follow, in any
  // one thread, and take_rows in each.
  bool begin_rows(const ForwardContext& context);
  // What forward and backward read of the weights, once a step and in the form that the input has;
  // of the biases always.
  void pack_weights(const ForwardContext& context);
  // Rows [begin, end), as take_activation_rows.
  bool take_rows(const RowProducer& produce, int64_t begin, int64_t end,
                 const ForwardContext& context);
  // In place of take_input, to meet all shapes: zeros in integer form or else in bfloat16.
  void take_zeros(bool integer);

  // The product's row r, by way of its block of kForwardRows rows, whose accumulators stay in the
  // scratch for the rows that follow: scratch.begin_rows comes before the first.
  kernels::Product row(int64_t r, LinearScratch& scratch) const;
  // Rows [begin, end) of the product's accumulators into acc (end - begin, N).
  void multiply(int64_t begin, int64_t end, void* acc, LinearScratch& scratch) const;
  // What makes y of accumulators that start at row `first`.
  kernels::Product product(const void* acc, int64_t first) const;

  // Before backward, once for all threads.
  void begin_backward();
  // Backward of the rows of thread t. produce(begin, end, t, memory) returns rows of dL/dy (end -
  // begin, N), a pointer or GradientRows, in `memory` (as long) or elsewhere; it is called once for
  // each row, in order.
  // Writes dL/dx̂ to its rows of dx (R, K); the gradients of weight, bias and row bias are complete
  // after add_parts.
  template <typename Produce>
  void backward(int64_t t, LinearScratch& s, const Produce& produce, float* dx) {
    for_chunks(t, [&](int64_t begin, int64_t end) {
      backward_chunk(begin, end, t, s, produce, dx + begin * K_);
    });
  }
  // The same in parts, for two layers that share a pass: for every chunk of for_chunks
  // backward_chunk, which writes to dx (end - begin, K).
  template <typename Body>
  void for_chunks(int64_t t, const Body& body) const {
    const kernels::Range part = part_of_rows(t);
    for (int64_t c = part.begin; c < part.end; c += kChunk) body(c, std::min(part.end, c + kChunk));
  }
  template <typename Produce>
  void backward_chunk(int64_t begin, int64_t end, int64_t t, LinearScratch& s,
                      const Produce& produce, float* dx) {
    for (int64_t r = begin; r < end; r += kProduceRows) {
      const int64_t stop = std::min(end, r + kProduceRows);
      pack_rows(produce(r, stop, t, s.dy.get()), r, stop, begin, t, s);
    }
    multiply_chunk(begin, end, t, s, dx);
  }
  // After backward of all threads, in each: adds up what the threads summed apart.
  void add_parts(int64_t t);

  // Whether dL/dx is dL/dx̂: no surrogate of the activation stands between.
  bool passes_gradient() const { return activation_gradient_.identity() && hadamard_block_ == 0; }
  // Applies what the activation's surrogate and the transform do to dL/dx̂, in place.
  void pass_surrogate(const at::Tensor& dx_RK) const;

  BitLinear& layer() const { return *layer_; }

 private:
  enum class Form { kNone, kInteger, kBfloat16 };

  kernels::Range part_of_rows(int64_t t) const {
    return kernels::part_of(rows_, grain_, t, threads_);
  }
  const lua::Format* format_of(const ForwardContext& context) const;
  // The right factors of both directions; `backward` may be null.
  void pack_codes(uint32_t* backward);
  void pack_float(const at::Tensor& w_NK, uint32_t* forward, uint32_t* backward);
  // One block of rows: the quantised product's accumulators.
  void multiply_quantised(int64_t begin, int64_t rows, void* acc, LinearScratch& scratch) const;
  // acc = y_float + lambda (y_quantised - y_float) of the quantised product's accumulators, floats.
  void blend(int64_t begin, int64_t rows, void* acc, LinearScratch& scratch) const;
  // Whether backward reads codes, with scales beside them.
  bool integer_backward() const { return packed_.integer && !blends_; }
  bool int8_backward() const { return int8_gradient_ && integer_backward(); }
  kernels::Product quantised_product(const void* acc, int64_t first) const;
  void pack_rows(const kernels::GradientRows& dy, int64_t begin, int64_t end, int64_t chunk,
                 int64_t t, LinearScratch& s);
  void multiply_chunk(int64_t begin, int64_t end, int64_t t, LinearScratch& s, float* dx);

  BitLinear* layer_;
  int64_t rows_, grain_, threads_, N_, K_;
  bool int8_gradient_;
  int64_t hadamard_block_ = 0;  // of the transform of this layer's inputs; 0: none
  PackedActivation packed_;
  ActivationGradient activation_gradient_;

  Form packed_as_ = Form::kNone;
  at::Tensor packed_of_;         // the kept value or codes that were packed, if they were that
  Buffer<uint32_t> w_forward_;   // Wᵀ interleaved: (K/4, N) words of int8 or (K/2, N) of bfloat16
  Buffer<uint32_t> w_backward_;  // W interleaved: (N/2, K) words of bfloat16, or (N/4, K) of int8
  Buffer<uint16_t> w_rounded_;   // (N, K), between value and packing
  Buffer<int32_t> shift_;        // (N)
  Buffer<int32_t> shift_back_;   // (K)
  Buffer<float> w_scale_, bias_;  // (N)

  // blend = "output": the layer's float side, whose gradient backward takes.
  bool blends_ = false;
  double lambda_ = 1.0;
  at::Tensor float_x_;                // (R, K) bfloat16
  Buffer<uint32_t> w_float_forward_;  // as w_forward_, of the latent weight
  Buffer<float> no_bias_;             // (N) zeros

  Gradient weight_gradient_, bias_gradient_, row_bias_gradient_;
  float* dw_ = nullptr;  // the parameter's gradient during backward: thread 0 adds to it
  bool dw_fresh_ = false;
  std::vector<Buffer<float>> dw_parts_;  // of the other threads
  Buffer<float> bias_parts_;             // (threads, N)
};

}  // namespace bitloop::trainer
