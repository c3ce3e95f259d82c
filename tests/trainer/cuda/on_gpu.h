// Tests of the GPU's kernels: skipped, with the reason, where there is no GPU.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "trainer/device/cuda_kernels.h"
#include "trainer/device/device.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::trainer {

struct Gpu {
  std::unique_ptr<kernels::DeviceKernels> kernels;
  std::string why_not;

  static Gpu& get() {
    static Gpu gpu = [] {
      Gpu made;
      if (const auto opened = open_device("cuda"); !opened) {
        made.why_not = opened.error().message;
      } else if (auto kernels = open_cuda_kernels(); !kernels) {
        made.why_not = kernels.error().message;
      } else {
        made.kernels = std::move(*kernels);
      }
      return made;
    }();
    return gpu;
  }
};

class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (Gpu::get().kernels == nullptr) GTEST_SKIP() << "there is no GPU here: " << Gpu::get().why_not;
    at::manual_seed(5);
  }
  kernels::DeviceKernels& gpu() { return *Gpu::get().kernels; }
  std::unique_ptr<kernels::DeviceKernels> plain_ = kernels::reference_kernels();
};

inline at::Tensor bf16_randn(at::IntArrayRef shape, double size = 1.0) {
  return (at::randn(shape) * size).to(at::kBFloat16);
}
inline kernels::Bf16* raw(const at::Tensor& tensor) {
  return reinterpret_cast<kernels::Bf16*>(tensor.data_ptr<at::BFloat16>());
}
// |a - b| / |b|
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kCPU).to(at::kDouble), y = b.to(at::kCPU).to(at::kDouble);
  return (x - y).norm().item<double>() / (y.norm().item<double>() + 1e-30);
}

// Rounding to bfloat16 moves a number by up to 2^-9 of it; two kernels that round the same sums in
// another order differ by one step here and there.
inline constexpr double kBf16 = 4e-3;

}  // namespace bitloop::trainer
