// What a job on a finished model computes on.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "harness/base/result.h"
#include "trainer/kernels/device_kernels.h"

namespace bitloop::trainer {

struct Machine {
  // What was opened, which decides what system calls are needed; there may be no kernels for it.
  at::Device opened{at::kCPU};
  std::unique_ptr<kernels::DeviceKernels> kernels;  // of a GPU that computes; null: the CPU does
  std::string note;                                 // why "auto" stayed on the CPU; or empty
};

// Makes ready what a job asks for: "cpu", "cuda" or "auto", with all that a sequence needs on a
// GPU done once, since libraries read their files at the first use. Requires: nothing of LibTorch
// ran before, and system calls are not narrowed. Errors: "device_unavailable".
Result<Machine> open_machine(const std::string& wanted);

// For records: "cpu", or the GPU's own name.
std::string name_of(const Machine& machine);

}  // namespace bitloop::trainer
