// libbitloop_cuda, opened.
#pragma once

#include <memory>

#include "harness/base/result.h"
#include "trainer/kernels/device_kernels.h"
#include "trainer/kernels/kernel_cache.h"

namespace bitloop::trainer {

// Opens the library, which lies in lib/ beside the folder of this program, and gets its kernels
// ready on the current device. What it compiles is looked for and kept in `cache`, which may be
// null and else must outlive them. Requires: open_device("cuda"). Errors: "device_unavailable".
Result<std::unique_ptr<kernels::DeviceKernels>> open_cuda_kernels(
    kernels::KernelCache* cache = nullptr);

}  // namespace bitloop::trainer
