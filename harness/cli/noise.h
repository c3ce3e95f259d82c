// What the shipped baselines say about a score, in one line for people: is it more than noise?
#pragma once

#include <string>

#include "harness/tasks/baselines.h"

namespace bitloop::cli {

// "val_loss is 0.0021 below ternary's 1.7833 (3 seeds): inside the noise of ±0.0080." and its
// opposite; "" where the table has no noise floor or no ternary. The noise is the 95% prediction
// interval of one more run.
std::string noise_line(const tasks::BaselineTable& table, double val_loss);
// "Noise of quick: two single runs that differ by less than 0.0087 in val_loss cannot be told
// apart." or "".
std::string noise_of_task(const std::string& task, const tasks::BaselineTable& table);

}  // namespace bitloop::cli
