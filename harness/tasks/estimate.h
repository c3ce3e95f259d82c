// How long a preset's training takes on GPUs, and how much of their memory: arithmetic on the
// preset's shapes, before anything starts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace bitloop::tasks {

struct Gpus {
  int64_t count = 1;
  // Dense bfloat16 products that one reaches, and the share of it that whole steps do. What was
  // measured on an H200 (bench/README.md): 790 TFLOP/s, and GPT-2 Medium's steps at 222,000
  // tokens/s.
  double tflops = 790;
  double share = 0.64;
};

struct Estimate {
  int64_t parameters = 0, tokens = 0;
  double flops_per_token = 0;  // forward and backward, causal attention counted as half a square
  double tokens_per_s = 0, hours = 0;
  // Of each GPU, in bytes: parameters, their copies for products, gradients and AdamW's moments;
  // what a micro-batch keeps for its backward pass; the rest (libraries, logits).
  double state_bytes = 0, activation_bytes = 0, other_bytes = 0;

  double gpu_bytes() const { return state_bytes + activation_bytes + other_bytes; }
};

// `preset` as load_preset returns it. The share is that of GPT-2's kernels: a Llama, which trains
// operation by operation so far, takes longer and more memory than its shapes alone would say; the
// memory is reckoned so, the time is not.
Estimate estimate(const nlohmann::json& preset, const Gpus& gpus);

}  // namespace bitloop::tasks
