#include "trainer/optim/schedule.h"

#include <cmath>
#include <numbers>

namespace bitloop::trainer {

double learning_rate(const TrainConfig& config, int64_t step) {
  if (step < config.warmup_iters)
    return config.learning_rate * static_cast<double>(step + 1) /
           static_cast<double>(config.warmup_iters + 1);
  if (step >= config.steps) return config.min_lr;
  const double done = static_cast<double>(step - config.warmup_iters) /
                      static_cast<double>(std::max<int64_t>(1, config.steps - config.warmup_iters));
  return config.min_lr +
         0.5 * (1.0 + std::cos(std::numbers::pi * done)) * (config.learning_rate - config.min_lr);
}

}  // namespace bitloop::trainer
