#include "trainer/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bitloop::trainer {

double learning_rate(const TrainConfig& config, int64_t step) {
  if (step < config.warmup_iters)
    return config.learning_rate * static_cast<double>(step + 1) /
           static_cast<double>(config.warmup_iters + 1);
  if (config.schedule == "constant") return config.learning_rate;
  if (step >= config.steps) return config.min_lr;
  const double done = static_cast<double>(step - config.warmup_iters) /
                      static_cast<double>(std::max<int64_t>(1, config.steps - config.warmup_iters));
  return config.min_lr +
         0.5 * (1.0 + std::cos(std::numbers::pi * done)) * (config.learning_rate - config.min_lr);
}

double share_of_quantisation(const QatConfig& config, int64_t step) {
  const int64_t since = step - config.delay;
  if (since < 0) return 0.0;
  if (config.lambda == "none") return 1.0;
  if (config.lambda == "plateau")
    return std::min(config.max, config.rise * static_cast<double>(since / config.every));
  const double part =
      config.ramp > 0 ? std::min(1.0, static_cast<double>(since) / static_cast<double>(config.ramp))
                      : 1.0;
  if (config.lambda == "linear") return config.max * part;
  return config.max * 0.5 * (1.0 - std::cos(std::numbers::pi * part));
}

bool blends(const QatConfig& config) { return config.lambda != "none" || config.delay > 0; }

}  // namespace bitloop::trainer
