// What a model says of windows of tokens. Windows of a group are one sequence: their common
// beginning, then what is each one's own, which sees the beginning and itself. Sequences of like
// length share a batch, and the head is computed for the predicted places alone, a few rows at a
// time.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "harness/base/result.h"
#include "trainer/eval/guards.h"
#include "trainer/eval/windows.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

struct WindowScore {
  double log_probability = 0.0;  // of all targets, in nats
  int64_t tokens = 0;
  bool greedy = true;  // every target is the likeliest token of its place
};

struct ScoringOptions {
  int64_t batch_tokens = 4096;    // of a batch, padding included
  bool reversed = false;          // batches last to first: not a bit of any score may change
  ScoreGuards* guards = nullptr;  // for scores that count; null: none
};

// One score a window, in their order. Float32; each window's score is the same in any batch up to
// the rounding of products. `context` is that of a score: lambda 1, no training. `progress` is told
// how many are done. Errors are those of the candidate's functions. Requires: quantize_weights.
Result<std::vector<WindowScore>> score_windows(Transformer& model, std::span<const Window> windows,
                                               ForwardContext context,
                                               const ScoringOptions& options,
                                               const std::function<void(size_t done)>& progress);

// Before system calls are narrowed: what LibTorch's libraries look up of the machine at their first
// use (a small model scores something), and on the CPU the products' kernels of a model of this
// shape, unless that is null.
void warm_scoring(const ModelConfig* model, at::Device device = at::kCPU);

}  // namespace bitloop::trainer
