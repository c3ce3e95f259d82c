// CUDA source of the kernels that run a captured weight_quant on a matrix: one for each walk over
// it, and between the walks one of a single block that turns the walks' sums and maxima into the
// numbers that the next one reads.
#pragma once

#include <string>

#include "trainer/cuda/program_source.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

constexpr int kMostGlobals = 64;
constexpr int kWeightBlocks = 1056;  // at most, of a walk: eight for each multiprocessor of an H200

// What the kernels read, by value. The source repeats this declaration.
struct WeightKernelArguments {
  const float* w = nullptr;
  const float* row[kMostOperands] = {};
  const float* column[kMostOperands] = {};
  float scalar[kMostOperands] = {};
  float* globals = nullptr;  // between the kernels
  double* parts = nullptr;   // (blocks, reductions) of the last walk
  void* codes = nullptr;
  float* scale = nullptr;
  int* refused = nullptr;
  long long rows = 0;
  int blocks = 0;  // of the last walk
};

// The kernels' names: "walk_0", "between_0" before it, …, and "between_<phases>" at the end.
std::string walk_name(size_t phase);
std::string between_name(size_t phase);

bool weight_kernels_support(const kernels::WeightQuantizer& quantizer, std::string& why);
// Requires: weight_kernels_support.
std::string weight_kernel_source(const kernels::WeightQuantizer& quantizer);
// Sums and maxima over the whole matrix that a walk makes.
int64_t all_reductions(const kernels::Phase& phase);

}  // namespace bitloop::cuda
