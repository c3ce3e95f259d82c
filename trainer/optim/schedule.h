// Learning rate: linear warm-up, then cosine down to min_lr (GPT-2's and nanoGPT's recipe).
#pragma once

#include "trainer/job.h"

namespace bitloop::trainer {

// Rate of step `step` (0-based): warm-up reaches the peak at step warmup_iters, the cosine reaches
// min_lr at the last step.
double learning_rate(const TrainConfig& config, int64_t step);

}  // namespace bitloop::trainer
