// What train, check and verify have in common, in an order that matters:
//   1. open the device, all files and the data; build the model from its seed
//   2. start LibTorch's threads and run every shape once: later no code and no thread can be made
//   3. narrow this process's system calls (sandbox::lock_down); then read the weights to begin with
//   4. only then load the candidate
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "harness/base/fd.h"
#include "lua/quantizer/quantizer.h"
#include "trainer/audit/audits.h"
#include "trainer/checkpoint/checkpoint_files.h"
#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/data/dataset.h"
#include "trainer/distributed/ranks.h"
#include "trainer/eval/benchmarks.h"
#include "trainer/eval/evaluate.h"
#include "trainer/job.h"
#include "trainer/kernels/kernel_cache.h"
#include "trainer/model/device_step.h"
#include "trainer/model/device_weights.h"
#include "trainer/model/regularizers.h"
#include "trainer/model/transformer.h"
#include "trainer/optim/adamw.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// One run's parts. Not copied: layers point into it.
struct Run {
  Job job;
  const Records* records = nullptr;
  std::unique_ptr<Ranks> ranks;  // that train together, this one among them; null: it is alone
  at::Device device = at::kCPU;  // of the model and all that it computes with
  bool chose_device = false;     // it was "auto" that chose it
  Dataset data;
  std::optional<Benchmarks> benchmarks;  // that the job asks for
  UniqueFd weights_file;  // output/weights.safetensors and packed.safetensors: written by train
  UniqueFd packed_file;
  std::unique_ptr<CheckpointFiles> checkpoints;  // where the job wants them
  std::shared_ptr<const MappedFile> packed;  // the latter, of verify: mapped before it is looked at
  std::unique_ptr<Transformer> model;
  std::unique_ptr<kernels::KernelCache> kernel_cache;  // of training on a GPU; or null
  std::unique_ptr<kernels::DeviceKernels> kernels;     // of a GPU
  std::unique_ptr<DeviceWeights> weight_programs;
  double peak_flops = 0;                  // measure_peak_flops(), of train and profile
  DeviceTraining* device_pass = nullptr;  // what `fused` is, on a GPU
  std::unique_ptr<TrainingPass> fused;    // null: training steps go through autograd
  bool sums_early = false;  // gradients are summed over the ranks while the last pass still runs
  std::unique_ptr<lua::Quantizer> quantizer;
  std::string loaded_digest;  // of the candidate's variables after loading: nothing may change them
  // Learnable parameters of the layers (Q.init) with their own rate and decay.
  std::vector<AdamW::Slot> quantizer_slots;
  Regularizers regularizers;

  ForwardContext context(int64_t step, bool training) const;
  Products training_products() const;
  // Sequences of one pass through autograd: on a GPU few, since it keeps every intermediate result.
  int64_t eager_micro_batch() const;
  // Q.lambda at a step; without it that of the preset's `qat`.
  Result<double> lambda(int64_t step) const;
  // Every tensor that makes up the trained state, for the weights file: parameters, then the
  // layers' params and state.
  NamedTensors state_tensors() const;
};

// Steps 1 to 3. Errors: "data_unavailable", "device_unavailable", "bad_job", "sandbox_unavailable",
// those of InitialWeights, or an I/O error.
Result<std::unique_ptr<Run>> prepare(Job job, const Records& records);

// Step 4: loads the candidate, applies its config, calls Q.init for every layer. Errors: a test's
// status.
Status load_candidate(Run& run);
// Error "rejected": a function changed a variable since the candidate was loaded.
Status check_variables(const Run& run);
// The candidate in a Lua state of its own, for audits and for the final score.
Result<std::unique_ptr<lua::Quantizer>> load_fresh(const Run& run);

// The audits that need no training: levels, bits, causality, purity, each sent as a finding record.
// All of them run as the final evaluation does: at its step and with its shapes.
struct Preflight {
  std::vector<Finding> findings;
  std::optional<double> bits_per_weight;
  bool leaks = false;

  // The first failure, or null.
  const Finding* failure() const;
};
Preflight run_preflight(Run& run);
// The same after the final evaluation: levels and bits are read off the very tensors that were
// scored, before anything quantises again.
Preflight audit_score(Run& run);
// Sequences of one forward pass of an evaluation. Requires: the job's device has been opened.
int64_t evaluation_batch(const Job& job);
// How the final evaluation of train and verify is done, batches first to last or reversed.
EvalOptions score_options(const Job& job, bool reversed);

// Shares of the weights' codes below, at and above zero, over all layers; nullopt where there are
// no codes or a codebook.
struct CodeShares {
  double negative, zero, positive;
};
std::optional<CodeShares> code_shares(const Run& run);

}  // namespace bitloop::trainer
