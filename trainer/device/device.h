// What a run computes on: the CPU, or the first GPU that CUDA sees. bitloop is linked with
// LibTorch's CPU libraries alone; the CUDA one, which lies beside them, is opened where a job asks
// for it.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::trainer {

// "cpu" or "cuda" for what a job asks for: "auto" is "cuda" where this process finds NVIDIA's
// driver and may see its devices.
std::string choose_device(std::string_view wanted);

// Of the GPUs that this process may open, rank r sees one alone, the r-th (they are dealt out in
// turns where there are fewer than ranks). To be called before open_device.
void choose_gpu(int64_t rank);

// Makes the device of a job ("cpu", "cuda" or "auto") ready. On CUDA products of float32 are of
// float32 from then on (no TF32) and operations that can be are the same in every run; autograd's
// thread for the device is started and the libraries' handles are made, which must precede the
// narrowing of system calls. Requires: nothing of LibTorch ran in this process before, since it
// looks once only for the CUDA library. Errors: "device_unavailable", one sentence: no driver, one
// that is too old, no device, no CUDA library.
Result<at::Device> open_device(std::string_view wanted);

// For records: "cpu", or the GPU's own name ("NVIDIA H200").
std::string device_name(at::Device device);
// Of a GPU that is open, in bytes: all of it; the most that tensors held so far. 0 for the CPU.
uint64_t device_memory(at::Device device);
uint64_t device_peak_memory(at::Device device);

}  // namespace bitloop::trainer
