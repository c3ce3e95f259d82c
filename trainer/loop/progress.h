// How far training came, and what it cost.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "trainer/job.h"

namespace bitloop::trainer {

struct Progress {
  int64_t steps = 0;
  double seconds = 0.0;  // of the steps alone
  double elapsed = 0.0;  // with everything between them
  double train_loss = 0.0;
  std::optional<double> val_loss;
  nlohmann::json first_losses = nlohmann::json::array();

  nlohmann::json stage_metrics() const;  // of the result's stage `train`
  nlohmann::json costs(const Job& job) const;

  // All of it, for a checkpoint.
  nlohmann::json to_json() const;
  static std::optional<Progress> from_json(const nlohmann::json& document);
};

}  // namespace bitloop::trainer
