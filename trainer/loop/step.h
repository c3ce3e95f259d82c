// One optimiser step, shared by train and verify so that both do the same arithmetic.
#pragma once

#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

// Makes the optimiser for the model's and the quantizer's parameters: decay on matrices only.
AdamW make_optimizer(Run& run);

struct StepResult {
  double loss = 0.0;  // mean over the step's tokens, before the update
  double lambda = 1.0;
  double learning_rate = 0.0;
};

// Step `step`: quantises the weights, runs all micro-batches, passes the gradients on, updates.
// Errors: a test's status; "diverged" when loss or gradient is not finite.
Result<StepResult> train_step(Run& run, AdamW& optimizer, int64_t step);

}  // namespace bitloop::trainer
