#include "harness/cli/noise.h"

#include <fmt/format.h>

#include <cmath>

#include "harness/baselines/statistics.h"
#include "harness/baselines/summary.h"

namespace bitloop::cli {

std::string noise_line(const tasks::BaselineTable& table, double val_loss) {
  const tasks::Baseline* ternary = table.find(baselines::kTernary);
  if (!table.noise_floor || ternary == nullptr || !ternary->val_loss) return "";
  const double noise = baselines::noise_of_one_run(
      {table.noise_floor->sd, table.noise_floor->degrees_of_freedom}, ternary->seeds);
  const double difference = val_loss - *ternary->val_loss;
  return fmt::format("val_loss is {:.4f} {} {}'s {:.4f} ({} seeds): {} the noise of ±{:.4f}.",
                     std::abs(difference), difference < 0 ? "below" : "above", ternary->name,
                     *ternary->val_loss, ternary->seeds,
                     std::abs(difference) < noise ? "inside" : "beyond", noise);
}

std::string noise_of_task(const std::string& task, const tasks::BaselineTable& table) {
  if (!table.noise_floor) return "";
  return fmt::format(
      "Noise of {}: two single runs that differ by less than {:.4f} in val_loss cannot be told "
      "apart.",
      task,
      baselines::noise_of_one_run({table.noise_floor->sd, table.noise_floor->degrees_of_freedom},
                                  1));
}

}  // namespace bitloop::cli
