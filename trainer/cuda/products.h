// Products of matrices by cuBLASLt: bfloat16 in, float32 sums, and what can be done to the result
// on its way to memory done there.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <tuple>

#include "trainer/cuda/device_memory.h"
#include "trainer/cuda/failure.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

class Products {
 public:
  explicit Products(Failure& failure);
  ~Products();

  void multiply(const kernels::DeviceProduct& product);
  // While this is set, the first product of a shape is done by several algorithms, the fastest of
  // which is kept. Results of the others are overwritten: not for sums that are added to.
  void set_tuning(bool on) { tuning_ = on; }

 private:
  // Everything that the choice of an algorithm depends on.
  using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool, bool, bool, bool, bool, bool>;
  struct Plan;
  Plan* plan(const kernels::DeviceProduct& product);
  bool describe(const kernels::DeviceProduct& product, Plan& made);
  void choose(const kernels::DeviceProduct& product, Plan& made);
  cublasStatus_t run(const kernels::DeviceProduct& product, const Plan& plan,
                     const cublasLtMatmulAlgo_t& algorithm);

  Failure& failure_;
  cublasLtHandle_t handle_ = nullptr;
  DeviceMemory workspace_, constants_;
  float *one_ = nullptr, *zero_ = nullptr;
  bool tuning_ = false;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace bitloop::cuda
