// Memory of this library's own on the device: workspaces, partial sums.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>

#include "trainer/cuda/failure.h"

namespace bitloop::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { cudaFree(data_); }

  // At least so many bytes; what was there may be lost. Null where there are none left.
  template <typename T>
  T* get(size_t count, Failure& failure) {
    const size_t bytes = count * sizeof(T);
    if (bytes > bytes_) {
      cudaFree(std::exchange(data_, nullptr));
      bytes_ = 0;
      if (!failure.check(cudaMalloc(&data_, bytes), "no memory is left on the GPU")) return nullptr;
      bytes_ = bytes;
    }
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace bitloop::cuda
