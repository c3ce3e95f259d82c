// Products with weights that stay packed on a device: WeightProduct over DeviceKernels.
#pragma once

#include <memory>

#include "trainer/kernels/device_kernels.h"
#include "trainer/model/weight_product.h"

namespace bitloop::trainer {

// The scale of codes as integers, (1) or (N), or undefined; integers are codes times the factor.
struct IntegerScale {
  at::Tensor scale;
  int factor = 1;
};

// WeightProduct::on of a packed weight. What a call fails with is in kernels.error().
std::shared_ptr<const WeightProduct> device_packed_product(const StoredWeight& weight,
                                                           const lua::Format& format,
                                                           const IntegerScale& integers,
                                                           at::Device device,
                                                           kernels::DeviceKernels& kernels);
// And of w (N, K) of floats, which is float32 there; by LibTorch.
std::shared_ptr<const WeightProduct> device_float_product(const at::Tensor& w_NK,
                                                          at::Device device);

}  // namespace bitloop::trainer
