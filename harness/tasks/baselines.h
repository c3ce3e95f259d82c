// The shipped tables of measured baselines (results/baselines/<task>.tsv, which `bitloop baseline`
// writes), as far as a task shows them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tasks {

struct Baseline {
  std::string name;
  std::optional<double> bits_per_weight, val_loss, val_loss_sd;
  size_t seeds = 0;  // with a score, over which val_loss is the mean
};

// Standard deviation of val_loss over seeds, pooled over all baselines with two seeds or more.
struct NoiseFloor {
  double sd = 0;
  size_t degrees_of_freedom = 0;
};

struct BaselineTable {
  std::vector<Baseline> baselines;  // in the order of the file
  std::optional<NoiseFloor> noise_floor;

  const Baseline* find(std::string_view name) const;  // nullptr when there is none
};

// Reads <share_dir>/baselines/<task>.tsv; no file, no baselines. Columns are found by name, lines
// that begin with '#' are comments. Errors: "bad_baselines" (file, line and column), "io_error".
Result<BaselineTable> load_baselines(const std::filesystem::path& share_dir,
                                     const std::string& task);

}  // namespace bitloop::tasks
