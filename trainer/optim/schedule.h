// What changes with the step: the learning rate (a linear warm-up, then cosine down to min_lr,
// which is GPT-2's and nanoGPT's recipe, or constant), and the share of quantisation of a preset's
// `qat`.
#pragma once

#include "trainer/job.h"

namespace bitloop::trainer {

// Rate of step `step` (0-based): warm-up reaches the peak at step warmup_iters, the cosine reaches
// min_lr at the last step; where the schedule is constant it stays at the peak.
double learning_rate(const TrainConfig& config, int64_t step);

// Lambda of step `step` (0-based), 0 to config.max: 0 during the delay; then, s steps after it,
// max min(1, s / ramp), the same along half a cosine, rise floor(s / every) up to max, or 1 from
// the first step on ("none").
double share_of_quantisation(const QatConfig& config, int64_t step);
// Whether it is ever below 1 while training.
bool blends(const QatConfig& config);

}  // namespace bitloop::trainer
