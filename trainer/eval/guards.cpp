#include "trainer/eval/guards.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

namespace bitloop::trainer {

ScoreGuards::ScoreGuards(const lua::Quantizer* quantizer, bool reorder_rows, uint64_t order_seed)
    : guarded_(quantizer != nullptr), reorder_rows_(reorder_rows), order_seed_(order_seed) {
  if (guarded_) guard_.digest = quantizer->state_digest();
}

const ScoreGuard* ScoreGuards::of(int64_t rows) {
  if (!guarded_) return nullptr;
  if (reorder_rows_ && rows != rows_) {
    guard_.order = at::randperm(rows, at::detail::createCPUGenerator(order_seed_), at::kLong);
    guard_.inverse = at::argsort(guard_.order);
    // Two rows at least on either side: LibTorch may sum a single one in another order.
    guard_.cut = rows >= 4 ? std::clamp(rows * 5 / 8, int64_t{2}, rows - 2) : 0;
    rows_ = rows;
  }
  return &guard_;
}

}  // namespace bitloop::trainer
