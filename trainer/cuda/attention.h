// Causal self-attention by cuDNN (its fused flash attention), through its front end.
#pragma once

#include <cudnn.h>

#include <map>
#include <memory>
#include <tuple>

#include "trainer/cuda/device_memory.h"
#include "trainer/cuda/failure.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

class Attention {
 public:
  explicit Attention(Failure& failure);
  ~Attention();

  // Before the first backward pass of a shape.
  void set_deterministic(bool on) { deterministic_ = on; }
  // As DeviceKernels'.
  void forward(const kernels::DeviceAttention& shape, const kernels::Bf16* qkv, kernels::Bf16* out,
               float* lse);
  void backward(const kernels::DeviceAttention& shape, const kernels::Bf16* qkv,
                const kernels::Bf16* out, const float* lse, const kernels::Bf16* dout,
                kernels::Bf16* dqkv);

 private:
  struct Plan;
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, bool>;
  Plan* plan(const kernels::DeviceAttention& shape, bool backward);

  Failure& failure_;
  cudnnHandle_t handle_ = nullptr;
  bool deterministic_ = true;
  DeviceMemory workspace_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace bitloop::cuda
