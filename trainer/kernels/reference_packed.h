// PackedProduct in plain loops, sums in double; in the calling thread.
#pragma once

#include "trainer/kernels/packed_weight.h"

namespace bitloop::kernels {

void reference_packed_product(const PackedProduct& product);

}  // namespace bitloop::kernels
