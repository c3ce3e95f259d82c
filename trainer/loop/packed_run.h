// A run and its packed model: what is written after training, what its repetition is scored with,
// and what `bitloop pack` and `bitloop eval` do with a finished one.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/loop/prepare.h"
#include "trainer/pack/packed_model.h"

namespace bitloop::trainer {

inline constexpr const char* kPackedFile = "output/packed.safetensors";

// Writes the run's model as it was quantised last, for a score; returns its bits per weight.
// Errors: those of files.
Result<double> write_packed_run(int fd, Run& run, at::ScalarType floats);

// Fills the run's model, which its job made, from the file, whose candidate must be the run's.
// Errors: "bad_weights".
Status load_packed(const MappedTensors& tensors, Run& run);

// A run made of the file alone. Loads the candidate, so system calls must be narrowed before.
// Errors: "bad_weights", those of the candidate.
Result<std::unique_ptr<Run>> load_packed_run(const MappedTensors& tensors, const Records& records,
                                             Unpack how = Unpack::kWhole);

// The job "pack": packs a finished run into an open file and sends a record `packed` with
// bits_per_weight.
Status pack_run(const nlohmann::json& job, const Records& records);

}  // namespace bitloop::trainer
