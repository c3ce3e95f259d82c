// Starts the kernels of packed_products.cuh.
#include "trainer/cuda/packed_products.cuh"

#include "trainer/cuda/launches.h"

namespace bitloop::cuda {

void launch_packed_product(const kernels::PackedProduct& product) {
  const auto parts = [](int64_t n, int64_t of) { return static_cast<unsigned>((n + of - 1) / of); };
  const dim3 grid(parts(product.weight.N, kPackedWarps), parts(product.R, kPackedRows)),
      block(32, kPackedWarps);
  if (product.codes != nullptr)
    packed_integers<<<grid, block>>>(product);
  else
    packed_floats<<<grid, block>>>(product);
}

}  // namespace bitloop::cuda
