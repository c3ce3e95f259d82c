// The parts of FusedTraining's layers that its forward and backward pass share.
#pragma once

#include <algorithm>

#include "trainer/model/fused_step.h"

namespace bitloop::trainer {

template <typename Pass>
void FusedTraining::run_apart(const Pass& pass) {
  apart_ = true;
  kernels::run_team(threads_, [&](int64_t) { pass(); });
  apart_ = false;
}

template <typename Body>
void FusedTraining::each_thread(const Body& body) {
  if (apart_) return body(kernels::team_member());
  kernels::run_team(threads_, body);
}

template <typename Body>
void FusedTraining::each_part(const Body& body) {
  each_thread([&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, grain_, t, threads_);
    if (!part.empty()) body(part.begin, part.end);
  });
}

// A LayerNorm with the statistics of its last forward pass and each thread's part of its gradients.
struct FusedTraining::Norm {
  const NormLayer* norm;
  int64_t D, threads;
  Buffer<float> mean, rstd;                  // (R)
  Buffer<float> dweight_parts, dbias_parts;  // (threads, D)
  Gradient dweight, dbias;

  Norm(const NormLayer& layer_norm, int64_t R, int64_t threads_)
      : norm(&layer_norm),
        D(layer_norm.weight.numel()),
        threads(threads_),
        mean(R),
        rstd(R),
        dweight_parts(threads_ * D),
        dbias_parts(threads_ * D) {}

  // out (count, D) = rows [first, first + count) of x (R, D), normalised.
  void forward_rows(const float* x, int64_t first, int64_t count, float* out) const {
    kernels::layer_norm(x + first * D, norm->weight.const_data_ptr<float>(),
                        norm->bias.const_data_ptr<float>(), count, D, kNormEpsilon, out,
                        mean + first, rstd + first);
  }
  void begin_backward() const {
    std::fill_n(dweight_parts.get(), threads * D, 0.0f);
    std::fill_n(dbias_parts.get(), threads * D, 0.0f);
  }
  // dx (R, D) += dL/dx in rows [begin, end), in thread t.
  void backward_rows(const float* dy, const float* x, int64_t begin, int64_t end, int64_t t,
                     float* dx) const {
    kernels::layer_norm_backward(dy + begin * D, x + begin * D, mean + begin, rstd + begin,
                                 norm->weight.const_data_ptr<float>(), end - begin, D,
                                 dx + begin * D, dweight_parts + t * D, dbias_parts + t * D);
  }
  void finish_backward() {
    kernels::add_rows(dweight_parts.get(), threads, D, dweight.attach(norm->weight));
    kernels::add_rows(dbias_parts.get(), threads, D, dbias.attach(norm->bias));
  }
};

struct FusedTraining::Layer {
  Norm ln_1, ln_2;
  FusedLinear qkv, proj, fc, mlp;
  Buffer<float> x, x_mid;          // (R, D) residual before the attention and before the MLP
  Buffer<uint16_t> heads;          // (R, 3D) queries, keys, values in bfloat16
  Buffer<float> attended;          // (R, D)
  Buffer<float> largest, inverse;  // (B, H, T) of the rows of attention
  Buffer<uint16_t> slope;          // (R, 4D) gelu' at the output of fc, in bfloat16

  Layer(Block& block, int64_t R, int64_t D, int64_t heads_count, int64_t grain, int64_t threads,
        bool int8_gradients)
      : ln_1(block.ln_1, R, threads),
        ln_2(block.ln_2, R, threads),
        qkv(block.qkv.front(), R, grain, threads, int8_gradients),
        proj(block.attn_proj, R, grain, threads, int8_gradients),
        fc(block.fc.front(), R, grain, threads, int8_gradients),
        mlp(block.mlp_proj, R, grain, threads, int8_gradients),
        x(R * D),
        x_mid(R * D),
        heads(R * 3 * D),
        attended(R * D),
        largest(R * heads_count),
        inverse(R * heads_count),
        slope(R * 4 * D) {}
};

}  // namespace bitloop::trainer
