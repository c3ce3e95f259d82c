// The model that `bitloop eval` and `bitloop generate` work on: a run's, a packed one, or one of
// Hugging Face, as the host describes it in a job: {"weights": [FILE], "job": a run's} or {…,
// "packed": true}, or {"weights": [FILE], "config": config.json}.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/loop/machine.h"
#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

struct Subject {
  std::unique_ptr<Run> run;           // of bitloop; or
  std::unique_ptr<Transformer> made;  // from elsewhere
  Transformer* model = nullptr;
  ForwardContext context;
};

// What the host took from the run's job, the packed file's header or config.json; checked here.
// Errors: "bad_job", "bad_model".
Result<ModelConfig> shape_of(const nlohmann::json& model);
// Whether its tokens are bytes; else they are GPT-2's, if they are as many.
bool has_byte_tokens(const nlohmann::json& model);
// Errors: "bad_weights", those of the candidate. Requires: system calls are narrowed.
// `as_stored`: for products of few rows, with weights as they are stored, where codes allow it of
// integers (as scores of training are made); else all in float32 on values.
Result<Subject> load_subject(const nlohmann::json& model, const ModelConfig& shape,
                             const MappedTensors& weights, const Records& records,
                             bool as_stored = false);

// From then on the model computes on the machine's GPU, and its candidate's functions do. Requires:
// as_stored, and that the model's weights are quantised. Errors: "bad_model", those of the
// candidate.
Status serve_on(const Machine& machine, Subject& subject);

}  // namespace bitloop::trainer
