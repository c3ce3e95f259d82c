// Activations on the GPU: rows that are made, quantised by a captured program and stored.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "trainer/cuda/compiler.h"
#include "trainer/cuda/failure.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

// One program for each kind of rows.
struct RowKernels : kernels::CompiledRows {
  cudaKernel_t kernel[3] = {};  // by RowsIn::Kind
  int64_t K = 0;
};

// `quantizer` may be null: rows that are only rounded. Null with a failure noted.
std::unique_ptr<RowKernels> compile_rows(Compiler& compiler, const kernels::RowQuantizer* quantizer,
                                         int64_t K, Failure& failure);

void launch_rows(const RowKernels& kernels, const kernels::RowsIn& in, int64_t R,
                 const kernels::RowArguments& arguments, const kernels::RowsOut& out,
                 Failure& failure);

}  // namespace bitloop::cuda
