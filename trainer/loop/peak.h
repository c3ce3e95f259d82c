// What this machine can do at most, to which a training step's rate is compared: measured, not read
// off a data sheet.
#pragma once

#include <c10/core/Device.h>

#include "trainer/job.h"

namespace bitloop::trainer {

// Floating-point operations a second of one dense product of the shape of training's largest, (rows
// of a micro-batch, D) times (D, F), in training's precision: the best of some that take 40 ms in
// all. Requires: the device is open and the threads are started; system calls are not narrowed yet.
double measure_peak_flops(const Job& job, at::Device device);

// The most memory that the run held so far, in bytes: of the GPU where it computes on one, else of
// this process.
uint64_t peak_memory(at::Device device);

}  // namespace bitloop::trainer
