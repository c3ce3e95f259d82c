#include "trainer/loop/early_stop.h"

#include <fmt/format.h>

namespace bitloop::trainer {

bool EarlyStopWatch::is_hopeless(int64_t step, double lambda, double val_loss) {
  const auto limit = rule_.limits.find(step);
  if (limit == rule_.limits.end() || lambda < 1) return false;
  step_ = step;
  val_loss_ = val_loss;
  in_a_row_ = val_loss <= limit->second.val_loss ? 0 : in_a_row_ + 1;
  return in_a_row_ >= rule_.consecutive;
}

std::string EarlyStopWatch::sentence(int64_t steps) const {
  const EarlyStop::Limit& limit = rule_.limits.at(step_);
  return fmt::format(
      "stopped early at step {} of {}: val_loss {:.4f} is above {:.4f}, the most that this task "
      "lets go on there ({} had {:.4f}), {}; change the idea, or look at the curve in log.tsv",
      step_, steps, val_loss_, limit.val_loss, rule_.baseline, limit.baseline,
      rule_.consecutive == 1 ? std::string("at this evaluation")
                             : fmt::format("for {} evaluations in a row", rule_.consecutive));
}

}  // namespace bitloop::trainer
