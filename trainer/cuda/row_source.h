// CUDA source of the kernel that makes rows (RowsIn), runs a captured program on them and stores
// what comes out (RowsOut), each row read once and written once. Plain text, made on any machine;
// compiled by NVRTC where a GPU is.
#pragma once

#include <string>

#include "trainer/cuda/program_source.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

// What the kernel reads, by value. The source repeats this declaration.
struct RowKernelArguments {
  const void* x = nullptr;
  const float *weight = nullptr, *bias = nullptr;
  float *mean = nullptr, *rstd = nullptr;
  void* value = nullptr;
  void* codes = nullptr;
  float* scale = nullptr;
  int* refused = nullptr;
  const float* row[kMostOperands] = {};
  const float* column[kMostOperands] = {};
  float scalar[kMostOperands] = {};
  float epsilon = 0;
  long long rows = 0;
};

inline constexpr const char* kRowKernelName = "quantize_rows";

// Whether rows of K numbers and this program can be done so; `why` says what is in the way.
bool row_kernel_supports(const kernels::RowProgram* program, int64_t K, std::string& why);
// `quantizer` may be null: rows are only rounded. Requires: row_kernel_supports.
std::string row_kernel_source(kernels::RowsIn::Kind kind, const kernels::RowQuantizer* quantizer,
                              int64_t K);

}  // namespace bitloop::cuda
