// Weights on the GPU: quantised by a captured program, walk by walk.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "trainer/cuda/compiler.h"
#include "trainer/cuda/weight_source.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

struct WeightKernels : kernels::CompiledWeights {
  std::vector<cudaKernel_t> between, walks;  // between[i] comes before walks[i], and one at the end
  int64_t rows = 0, columns = 0;
  int64_t reductions = 0;  // over the whole matrix, the most of a walk
  int blocks = 0;
};

// Null with a failure noted.
std::unique_ptr<WeightKernels> compile_weights(Compiler& compiler,
                                               const kernels::WeightQuantizer& quantizer,
                                               Failure& failure);

// Where the results go, and memory for what lies between the kernels.
struct WeightResults {
  int8_t* codes;
  float* scale;
  int32_t* refused;
  float* globals;  // kMostGlobals
  double* parts;   // weight_parts
};
size_t weight_parts(const WeightKernels& kernels);

void launch_weights(const WeightKernels& kernels, const float* w,
                    const kernels::RowArguments& arguments, const WeightResults& results,
                    Failure& failure);

}  // namespace bitloop::cuda
