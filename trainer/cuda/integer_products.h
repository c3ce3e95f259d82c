// Products of int8 matrices with exact int32 sums, by a CUTLASS kernel for Hopper that scales them
// on their way to memory.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "trainer/cuda/device_memory.h"
#include "trainer/cuda/failure.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

// Whether this GPU and shape can do it.
bool integer_product_supported(int64_t M, int64_t N, int64_t K);

class IntegerProducts {
 public:
  explicit IntegerProducts(Failure& failure) : failure_(failure) {}

  void multiply(const kernels::DeviceIntegerProduct& product);
  // While this is set, the first product of a shape is done by each kernel and the fastest is kept.
  void set_tuning(bool on) { tuning_ = on; }

 private:
  // How the tiles of the result are dealt out: the sums are exact, so that all give the same bits.
  enum Variant { kWide, kPingpong, kVariants };
  using Key = std::tuple<int64_t, int64_t, int64_t, bool>;
  void run(const kernels::DeviceIntegerProduct& product, Variant variant);
  Variant choose(const kernels::DeviceIntegerProduct& product);

  Failure& failure_;
  DeviceMemory workspace_;
  bool tuning_ = false;
  std::map<Key, Variant> chosen_;
};

}  // namespace bitloop::cuda
