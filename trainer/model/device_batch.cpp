#include "trainer/model/device_batch.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/device/streams.h"

namespace bitloop::trainer {
DeviceBatch::Numbers::Numbers(int64_t R, const at::TensorOptions& options)
    : ids(at::empty({R}, options.dtype(at::kLong))),
      targets(at::empty({R}, options.dtype(at::kLong))),
      order(at::empty({R}, options.dtype(at::kInt))),
      starts(at::empty({R + 1}, options.dtype(at::kInt))) {}

DeviceBatch::DeviceBatch(int64_t R, int64_t V, at::Device place)
    : R_(R),
      V_(V),
      there_(R, at::TensorOptions().device(place)),
      begins_(static_cast<size_t>(V) + 1) {
  if (place.is_cpu()) {
    here_.emplace_back(R, at::TensorOptions());
    return;
  }
  for (auto& event : taken_) {
    here_.emplace_back(R, at::TensorOptions().pinned_memory(true));
    event.emplace(place.type());
    event->record(current_stream(place));  // which makes it, while that is possible
  }
}

// By counting: rows keep their order, so that the sums of a token's gradients do.
void DeviceBatch::sort_rows(const Numbers& here) {
  const auto* id = here.ids.const_data_ptr<int64_t>();
  auto *rows = here.order.data_ptr<int32_t>(), *starts = here.starts.data_ptr<int32_t>();
  std::ranges::fill(begins_, 0);
  for (int64_t r = 0; r < R_; ++r) ++begins_[static_cast<size_t>(id[r]) + 1];
  distinct_ids_ = 0;
  for (size_t v = 0; v < static_cast<size_t>(V_); ++v) {
    if (begins_[v + 1] > 0) starts[distinct_ids_++] = begins_[v];
    begins_[v + 1] += begins_[v];
  }
  starts[distinct_ids_] = static_cast<int32_t>(R_);
  for (int64_t r = 0; r < R_; ++r)
    rows[begins_[static_cast<size_t>(id[r])]++] = static_cast<int32_t>(r);
}

void DeviceBatch::take(const at::Tensor& ids, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const size_t mine = next_++ % here_.size();
  const Numbers& here = here_[mine];
  if (taken_[mine]) taken_[mine]->synchronize();
  here.ids.copy_(ids.reshape({R_}));
  here.targets.copy_(targets.reshape({R_}));
  sort_rows(here);
  constexpr bool kQueued = true;
  there_.ids.copy_(here.ids, kQueued);
  there_.targets.copy_(here.targets, kQueued);
  there_.order.copy_(here.order, kQueued);
  there_.starts.copy_(here.starts, kQueued);
  if (taken_[mine]) taken_[mine]->record(current_stream(there_.ids.device()));
}

}  // namespace bitloop::trainer
