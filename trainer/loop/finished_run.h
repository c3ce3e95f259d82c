// The jobs on a model that is there, and the model that a run left: its job, its candidate and its
// weights, ready to be used again.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/loop/machine.h"
#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

// What these jobs have in common: opens job.device (the CPU where there is none), starts
// job.threads threads, maps the weights (a list of {"fd", "path"}), narrows this process's system
// calls, and only then parses them and does the work, whose outcome becomes the record `result`; an
// error "bad_weights" gets the file's name there. Returns what is wrong with the machine or the
// job.
//
// `scored`: the shape of the model that will be scored, whose products are made ready; or null.
Status run_with_weights(const nlohmann::json& job, const nlohmann::json& weights,
                        const ModelConfig* scored, const Records& records,
                        const std::function<Status(const MappedTensors&, const Machine&)>& work);

// `job`: the run's job.json. Loads the candidate, so system calls must be narrowed before. Errors:
// "bad_job", those of the candidate, "bad_weights" (a sentence that follows the file's name).
Result<std::unique_ptr<Run>> load_finished_run(const nlohmann::json& job,
                                               const MappedTensors& weights,
                                               const Records& records);

// How such a model is scored or exported: at its last step, lambda 1, in float32 on values.
ForwardContext finished_context(const Run& run);

}  // namespace bitloop::trainer
