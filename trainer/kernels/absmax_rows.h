// Rows of gradients as whole numbers and a scale, for products of int8: the largest of a row
// becomes 127 (SwitchBack, Wortsman et al. 2023, arXiv:2304.13013).
#pragma once

#include <cstdint>

#include "trainer/kernels/device_kernels.h"

namespace bitloop::kernels {

// For rows of K numbers. Scales are float32, since float16 can't hold those of gradients. A row
// with a number that is none is refused, and has a scale that is none.
RowQuantizer absmax_rows(int64_t K);

}  // namespace bitloop::kernels
