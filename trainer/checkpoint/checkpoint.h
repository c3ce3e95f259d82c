// A checkpoint: all that a run needs to go on after its last step as if it had never ended. A
// safetensors file, so any reader of that format can look into it: parameters, the quantizer's
// parameters and state, and AdamW's moments as tensors (float32), the rest in the metadata. Which
// tokens come next needs no room: they follow from the seed and the step (data/dataset.h).
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/base/result.h"
#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/job.h"

namespace bitloop::trainer {

struct Checkpoint {
  int64_t step = 0;         // optimiser steps done
  nlohmann::json progress;  // what the training loop counts
  NamedTensors tensors;
};

// What a run trains, as a digest: candidate, model, data, schedule, rules and seed, but not where
// it may run. A checkpoint of another run is none of this one.
std::string run_digest(const Job& job);

// Writes a checkpoint to an open file, in place of what it holds, and fsyncs. Until that has
// returned the file is no checkpoint, and says so by its checksum. Errors: "disk_full", "io_error".
Status write_checkpoint(int fd, const Checkpoint& checkpoint, const std::string& run);

// The step that a file says it is of; 0 for what is no checkpoint.
int64_t checkpoint_step(const MappedTensors& file);
// Its tensors are copies. Error "bad_checkpoint": one sentence without the file's name (cut off or
// damaged, of another run, written by a newer version).
Result<Checkpoint> read_checkpoint(const MappedTensors& file, const std::string& run);

}  // namespace bitloop::trainer
