// The guard of a score (ScoreGuard in trainer/model/bitlinear.h) for passes of any number of rows.
#pragma once

#include <cstdint>

#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

class ScoreGuards {
 public:
  // `quantizer` must stay as it is now; null: there is nothing to guard. `reorder_rows` is off in
  // tasks that allow scales across rows; `order_seed` is another one in every process.
  ScoreGuards(const lua::Quantizer* quantizer, bool reorder_rows, uint64_t order_seed,
              at::Device device = at::kCPU);

  // For a pass of so many rows; null without a quantizer. Valid until the next call.
  const ScoreGuard* of(int64_t rows);

 private:
  const bool guarded_, reorder_rows_;
  const uint64_t order_seed_;
  const at::Device device_;
  ScoreGuard guard_;
  int64_t rows_ = -1;  // of guard_
};

}  // namespace bitloop::trainer
