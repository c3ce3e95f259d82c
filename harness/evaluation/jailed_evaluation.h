// The host's side of `bitloop eval`: a trainer in a jail that scores a model's answers. It gets
// open files and no names of folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/evaluation/model_job.h"

namespace bitloop::evaluation {

struct Request {
  std::filesystem::path model;  // a Hugging Face folder, a run's, or a packed model
  std::optional<std::vector<std::string>> tasks;  // by name; nothing: all whose documents are there
  std::filesystem::path tokens;      // a file of tokens whose loss is measured; empty: none
  int64_t window = 0;                // tokens of its windows; 0: the model's context
  std::filesystem::path benchmarks;  // folder of prepare_benchmarks
  int64_t limit = 0;                 // documents of a task at most; 0: all
  unsigned threads = 2;
  uint64_t memory_bytes = 0;
  bool allow_degraded = false;
};

struct TaskProgress {
  std::string task;
  uint64_t done = 0, all = 0;  // windows of tokens
};

// {"model", "tasks": {name: {"documents": n, "metrics": {name: {"value", "stderr"}},
// "per_document": […]}}, "skipped": {task: why}}. Errors: "wrong_usage" (model or task that can't
// be had), "bad_model", "bad_weights", "bad_document", "bad_task" with what is wrong where,
// "sandbox_missing", "infrastructure".
Result<Json> evaluate(const Request& request,
                      const std::function<void(const TaskProgress&)>& progress);

struct ExportRequest {
  std::filesystem::path run;        // folder of a finished run, or a packed model
  std::filesystem::path to;         // gets config.json, model.safetensors and tokenizer.json
  std::filesystem::path tokenizer;  // in place of the model's own (model_tokenizer.h)
  bool latent = false;  // the weights before quantisation, not those that are computed with
  unsigned threads = 2;
  uint64_t memory_bytes = 0;
  bool allow_degraded = false;
};

// Writes the model in the form of Hugging Face, whole or not at all; says whether it has a
// tokenizer. Errors: "wrong_usage", "bad_weights", "infrastructure", those of the candidate.
Result<bool> export_model(const ExportRequest& request);

struct PackRequest {
  std::filesystem::path run;   // folder of a finished run
  std::filesystem::path file;  // to write
  bool bfloat16 = false;       // embeddings, norms and biases in bfloat16
  unsigned threads = 2;
  uint64_t memory_bytes = 0;
  bool allow_degraded = false;
};

// Packs the run's model (docs/packing.md), whole or not at all; its bits per weight. Errors as
// above.
Result<double> pack_run(const PackRequest& request);

// Names of the tasks that this version has, in order.
std::vector<std::string> task_names();

}  // namespace bitloop::evaluation
