// AdamW's update (Loshchilov & Hutter 2019, algorithm 2) of many tensors in two walks on all
// threads: the gradients' squares, then the numbers themselves. The same bits for any number of
// threads.
#pragma once

#include <cstdint>
#include <span>

namespace bitloop::kernels {

// n numbers of one tensor.
struct AdamwTensor {
  float *parameter = nullptr, *first = nullptr, *second = nullptr;  // first and second: the moments
  const float* gradient = nullptr;
  int64_t n = 0;
  double rate = 0.0, weight_decay = 0.0;
};

struct AdamwStep {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  int64_t step = 1;              // of this update, from 1: corrects the moments' bias
  double gradient_factor = 1.0;  // what clipping multiplies gradients by
};

// The sum over all tensors of gradient squared, in double.
double sum_of_squares(std::span<const AdamwTensor> tensors);

void adamw(std::span<const AdamwTensor> tensors, const AdamwStep& step);

}  // namespace bitloop::kernels
