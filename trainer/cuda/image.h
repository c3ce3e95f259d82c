// CUDA source to an image that a GPU loads, by NVRTC, which needs no GPU for it; or from the cache,
// where an earlier run compiled the same text in the same way.
#pragma once

#include <string>

#include "trainer/kernels/kernel_cache.h"

namespace bitloop::cuda {

// For the architecture sm_<arch> (90: Hopper). `cache` may be null. Empty with `why`: the
// compiler's first complaints.
std::string compile_image(const std::string& source, int arch, kernels::KernelCache* cache,
                          std::string& why);

// What an image is kept under: all that it depends on, the versions of NVRTC and bitloop among
// them.
std::string image_key(const std::string& source, int arch);

}  // namespace bitloop::cuda
