// What a run can be. Each sends its records and ends with exactly one `result` record;
// what it returns is only for the exit code. Errors are those of the machine (data, sandbox): the
// candidate's failures are results.
#pragma once

#include "harness/base/result.h"
#include "trainer/job.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// Trains, evaluates on the whole validation split in a fresh Lua state, writes
// output/weights.safetensors (the latent weights, for export) and output/packed.safetensors (what
// was scored). A job "quantize" does the same without a step of training, and without the former:
// its result's metrics have the float model's loss, too.
Status train(Job job, const Records& records);
// The free pre-flight: load, audits, no training.
Status check(Job job, const Records& records);
// Some steps of training, timed in detail: records `profile` and `spans`, no score.
Status profile(Job job, const Records& records);
// In a fresh process: the first steps of training again, then the final evaluation and the
// benchmarks of the packed model, with the batches in reverse order. The supervisor compares the
// numbers with training's, bit by bit.
Status verify(Job job, const Records& records);

inline constexpr int64_t kRepeatedSteps = 5;

}  // namespace bitloop::trainer
