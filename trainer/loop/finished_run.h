// The model that a run left: its job, its candidate and its weights, ready to be used again.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

// What LibTorch's libraries look up of the machine at their first use, while files can be opened: a
// small model scores something.
void warm_libraries();

// `job`: the run's job.json. Loads the candidate, so system calls must be narrowed before. Errors:
// "bad_job", those of the candidate, "bad_weights" (a sentence that follows the file's name).
Result<std::unique_ptr<Run>> load_finished_run(const nlohmann::json& job,
                                               const MappedTensors& weights,
                                               const Records& records);

// How such a model is scored or exported: at its last step, lambda 1, in float32 on values.
ForwardContext finished_context(const Run& run);

}  // namespace bitloop::trainer
