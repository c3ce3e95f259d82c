// The score: mean cross-entropy on validation text at lambda 1, in float32; products of codes are
// summed as integers, exactly.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/base/result.h"
#include "trainer/data/dataset.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

struct EvalOptions {
  int64_t batches = 0;       // at most so many full batches, spread evenly over the split; 0: every
                             // window, the last ones in a smaller batch
  int64_t batch = 16;        // windows a batch
  int64_t window = 0;        // tokens of a window; 0: the model's context
  double lambda = 1.0;       // share of quantisation; of a score always 1
  bool reversed = false;     // visit the batches last to first: the sum, made in the order of their
                             // numbers, must not change
  bool guarded = false;      // for a score that counts: see ScoreGuard
  bool reorder_rows = true;  // of a guarded evaluation; off in tasks that allow scales across rows
  uint64_t order_seed = 0;   // another one in every process
};

struct EvalScore {
  double loss = 0.0;                 // nats a token
  int64_t tokens = 0;                // predicted
  std::optional<int64_t> bytes = 0;  // of UTF-8 that they stand for, where that is known

  // Bits a UTF-8 byte.
  std::optional<double> bits_per_byte() const;
};

// Quantises the weights afresh and evaluates. `context` gives quantizer, step and total_steps;
// training, lambda and products are set
// here. Errors are those of the candidate's functions.
Result<EvalScore> evaluate(Transformer& model, const TokenStream& validation,
                           const EvalOptions& options, ForwardContext context);

// Meets the shapes of integer products in evaluations with this batch, before system calls are
// narrowed.
void warm_evaluation(Transformer& model, const TokenStream& validation, int64_t batch,
                     int64_t window = 0);

}  // namespace bitloop::trainer
