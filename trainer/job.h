// The job document (docs/architecture.md): what to train, on what, by which rules. Read once, never
// changed afterwards but for the overrides that the candidate's `Q.config` makes within the task's
// bounds.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::trainer {

// Shape of a GPT-2 or a Llama. Legend of the folder: B batch, T tokens, D width, F hidden width of
// the feed-forward part, H heads, V padded vocabulary, N output and K input features of a linear
// layer, R = B T rows.
struct ModelConfig {
  std::string architecture = "gpt2";  // or llama
  int64_t vocab_size = 256;           // ids that occur
  int64_t padded_vocab_size =
      256;  // V: rows of the embedding; logits beyond vocab_size take part in the loss
  int64_t context = 128;  // T at most
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t width = 128;  // D
  bool bias = true;     // biases of the linear layers
  // Llama's own. A GPT-2 has as many heads of keys and values as of queries, F = 4 D, a tied head.
  int64_t kv_heads = 0;     // heads of keys and values; divides heads; 0: as many
  int64_t ffn_width = 0;    // F; 0: 4 D
  bool tied_head = true;    // the head's weight is the token embedding
  double rope_theta = 1e4;  // base of the rotary positions' wavelengths
  double norm_epsilon = 1e-5;

  bool is_llama() const { return architecture == "llama"; }
  int64_t key_heads() const { return kv_heads > 0 ? kv_heads : heads; }
  int64_t hidden_width() const { return ffn_width > 0 ? ffn_width : 4 * width; }
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
  int64_t sequence = 0;      // tokens of a training sequence, at most the context; 0: the context
  std::string schedule = "cosine";  // of the rate after its warm-up: cosine or constant
  double learning_rate = 2e-3;
  double min_lr = 2e-4;
  int64_t warmup_iters = 40;
  double weight_decay = 0.1;  // on matrices only
  double beta1 = 0.9;
  double beta2 = 0.95;
  double grad_clip = 1.0;  // global norm; 0 turns it off
  std::string precision =
      "bfloat16";  // of training's matrix products: bfloat16 or float32. Scores are float32 always
  std::string input_gradients =
      "bfloat16";  // of the products that make a layer's input's gradient, where its forward
                   // product is of integers: bfloat16, or int8 with rows of dL/dy of 255 levels
  std::string execution =
      "fused";  // of training steps: fused, where machine and shape allow it, or eager (the oracle)
  std::string device = "cpu";  // cpu, cuda, or auto: cuda where there is one
  uint64_t seed = 42;
};

// How a float model becomes a quantised one where the candidate has no `lambda` of its own: the
// share of quantisation over the steps.
struct QatConfig {
  std::string lambda = "none";  // none (1 from the first step on), linear, cosine or plateau
  int64_t delay = 0;            // steps of float training before it
  int64_t ramp = 0;             // linear, cosine: steps from 0 to max
  double rise = 0.05;           // plateau: added …
  int64_t every = 500;          // … each so many steps
  double max = 1.0;             // lambda's highest value
};

struct EvalConfig {
  int64_t every = 100;   // steps between evaluations during training; 0: only at the end
  int64_t batches = 20;  // batches of such an evaluation; the final one uses the whole split
  int64_t log_every = 10;
  int64_t window = 0;  // tokens of a window that is scored; 0: the context
};

// One of the processes that train together (trainer/distributed).
struct RankConfig {
  int64_t rank = 0;
  int64_t count = 1;
  std::vector<int> links;  // descriptors: of rank 0 to each other rank, of those to rank 0
  int memory_fd = -1;      // that all share, of memory_bytes
  int64_t memory_bytes = 0;
  int64_t wait_s = 300;  // how long one that does not come is waited for
  // Of ranks on several machines, in place of links and memory: where rank 0 listens.
  std::string address;
  int64_t port = 0;
  bool store_is_there = false;  // somebody else listens there (torchrun)
  std::string own_address;      // where other ranks reach this one
  int64_t local_rank = -1;      // among the ranks of its machine; -1: as rank
  std::string meeting;          // tells one job's meetings there from another's
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
  std::string kind;  // train, check, verify or profile
  std::string nonce;
  std::string candidate_path;  // the name in error messages
  std::string candidate;       // the Lua text
  int candidate_fd = -1;  // where it comes from later, when the document has none; only "check"
  std::string preset_name;
  std::string data_dir;
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  QatConfig qat;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  RankConfig ranks;
  nlohmann::json init_from;   // files of the model whose weights are the first ones, or null
  int64_t profile_steps = 0;  // so many steps are timed in detail; 0: none
  bool resume = false;  // an earlier trainer of this run was killed: its checkpoints may be there
  Rules rules;
  nlohmann::json benchmarks;  // to be scored after training (trainer/eval/benchmarks.h), or null
  EarlyStop early_stop;
  int64_t threads = 2;

  // Sequences of a training pass: train.micro_batch, or what of it fits this rank's share of a
  // step.
  int64_t micro_batch() const;
  int64_t sequence() const { return train.sequence > 0 ? train.sequence : model.context; }
  int64_t window() const { return eval.window > 0 ? eval.window : model.context; }

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
