// CUDA source to kernels: compiled by NVRTC for the GPU that is there, and kept for sources of
// equal text, so that layers of one shape and function share theirs.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <string>

#include "trainer/cuda/failure.h"
#include "trainer/kernels/kernel_cache.h"

namespace bitloop::cuda {

class Compiler {
 public:
  // `cache`, which must outlive it, may be null.
  explicit Compiler(kernels::KernelCache* cache = nullptr) : cache_(cache) {}
  ~Compiler();
  Compiler(const Compiler&) = delete;
  Compiler& operator=(const Compiler&) = delete;

  // Null with a failure noted.
  cudaKernel_t kernel(const std::string& source, const char* name, Failure& failure);

 private:
  cudaLibrary_t build(const std::string& source, Failure& failure);
  static cudaLibrary_t load(const std::string& image, Failure& failure);

  kernels::KernelCache* cache_;
  std::map<std::string, cudaLibrary_t> libraries_;  // by source
};

}  // namespace bitloop::cuda
