// The job document (docs/architecture.md): what to train, on what, by which rules. Read once, never
// changed afterwards but for the overrides that the candidate's `Q.config` makes within the task's
// bounds.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "harness/base/result.h"

namespace bitloop::trainer {

// Shape of a GPT-2. Legend of the folder: B batch, T tokens, D width, F = 4 D, H heads, V padded
// vocabulary, N output and K input features of a linear layer, R = B T rows.
struct ModelConfig {
  std::string architecture = "gpt2";
  int64_t vocab_size = 256;  // ids that occur
  int64_t padded_vocab_size =
      256;  // V: rows of the embedding; logits beyond vocab_size take part in the loss
  int64_t context = 128;  // T at most
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t width = 128;  // D
  bool bias = true;     // biases of the linear layers
};

struct DataConfig {
  std::string format =
      "bytes";           // bytes: text files in a folder; tokens16: uint16 file; llmc: llm.c shard
  std::string path;      // bytes: folder below data_dir; else the training file
  std::string val_path;  // not for bytes
  // Where path or val_path is a pattern: the files that it names, in their order.
  std::vector<std::string> files, val_files;
  int64_t validation_first =
      4;  // bytes: files are sorted by name; the 4th, 14th, 24th, … are validation
  int64_t validation_every = 10;
};

struct TrainConfig {
  int64_t steps = 400;
  int64_t batch = 16;        // sequences an optimiser step
  int64_t micro_batch = 16;  // sequences a forward pass; divides batch
  double learning_rate = 2e-3;
  double min_lr = 2e-4;
  int64_t warmup_iters = 40;
  double weight_decay = 0.1;  // on matrices only
  double beta1 = 0.9;
  double beta2 = 0.95;
  double grad_clip = 1.0;  // global norm; 0 turns it off
  std::string precision =
      "bfloat16";  // of training's matrix products: bfloat16 or float32. Scores are float32 always
  std::string execution =
      "fused";  // of training steps: fused, where machine and shape allow it, or eager (the oracle)
  std::string device = "cpu";  // cpu, cuda, or auto: cuda where there is one
  uint64_t seed = 42;
};

struct EvalConfig {
  int64_t every = 100;   // steps between evaluations during training; 0: only at the end
  int64_t batches = 20;  // batches of such an evaluation; the final one uses the whole split
  int64_t log_every = 10;
};

struct CheckpointConfig {
  int64_t every = 0;  // steps; 0: none
  int64_t keep = 2;   // whole files beside the one that is being written
};

struct Rules {
  bool quantize_head = false;
  bool paper_compat =
      false;  // allows activation scales across rows; the result carries the flag `leaks`
  std::map<std::string, std::pair<double, double>> allowed_config;
};

// Where a hopeless run ends (harness/tasks/early_stop.h): after so many evaluations in a row whose
// loss is above the limit of their step.
struct EarlyStop {
  struct Limit {
    double val_loss = 0;  // the highest that goes on
    double baseline = 0;  // what the baseline had there
  };
  std::string baseline;  // its name
  int64_t consecutive = 1;
  std::map<int64_t, Limit> limits;  // by step; empty: no run is ended
};

struct Job {
  std::string kind;  // train, check or verify
  std::string nonce;
  std::string candidate_path;  // the name in error messages
  std::string candidate;       // the Lua text
  int candidate_fd = -1;  // where it comes from later, when the document has none; only "check"
  std::string preset_name;
  std::string data_dir;
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  bool resume = false;  // an earlier trainer of this run was killed: its checkpoints may be there
  Rules rules;
  nlohmann::json benchmarks;  // to be scored after training (trainer/eval/benchmarks.h), or null
  EarlyStop early_stop;
  int64_t threads = 2;
  nlohmann::json config;  // the preset as it came, for the header record
};

// Parses and validates; error code "bad_job" names the member.
Result<Job> parse_job(const std::string& text);

// Reads the candidate that the document did not have: a JSON object {path, content} up to the end
// of `job.candidate_fd`, which is closed. Errors: "no_candidate" when the descriptor ends without
// one (nobody needs this trainer any more), "bad_job".
Status receive_candidate(Job& job);

// Applies `Q.config`: each key must be in rules.allowed_config and within its bounds (both ends
// included). Error code "rejected".
Status apply_overrides(const nlohmann::json& overrides, const Rules& rules, TrainConfig& train);

}  // namespace bitloop::trainer
