#include "trainer/eval/guards.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

namespace bitloop::trainer {

ScoreGuards::ScoreGuards(const lua::Quantizer* quantizer, bool reorder_rows, uint64_t order_seed,
                         at::Device device)
    : guarded_(quantizer != nullptr),
      reorder_rows_(reorder_rows),
      order_seed_(order_seed),
      device_(device) {
  if (guarded_) guard_.digest = quantizer->state_digest();
}

const ScoreGuard* ScoreGuards::of(int64_t rows) {
  if (!guarded_) return nullptr;
  if (reorder_rows_ && rows != rows_) {
    const at::Tensor order =
        at::randperm(rows, at::detail::createCPUGenerator(order_seed_), at::kLong);
    guard_.order = order.to(device_);
    guard_.inverse = at::argsort(order).to(device_);
    // So many rows at least on either side: LibTorch may sum a single one in another order, and on
    // CUDA as many as share a block.
    const int64_t least = device_.is_cpu() ? 2 : 32;
    guard_.cut = rows >= 2 * least ? std::clamp(rows * 5 / 8, least, rows - least) : 0;
    rows_ = rows;
  }
  return &guard_;
}

}  // namespace bitloop::trainer
