// libbitloop_cuda, opened.
#pragma once

#include <memory>

#include "harness/base/result.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::trainer {

// Opens the library, which lies in lib/ beside the folder of this program, and gets its kernels
// ready on the current device. Requires: open_device("cuda"). Errors: "device_unavailable".
Result<std::unique_ptr<kernels::DeviceKernels>> open_cuda_kernels();

}  // namespace bitloop::trainer
