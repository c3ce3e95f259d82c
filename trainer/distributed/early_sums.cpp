#include "trainer/distributed/early_sums.h"

#include <utility>

namespace bitloop::trainer {

EarlySums::EarlySums(Ranks& ranks, std::vector<std::vector<at::Tensor>> groups)
    : ranks_(&ranks), groups_(std::move(groups)) {
  for (const auto& group : groups_)
    for (const at::Tensor& gradient : group) in_a_group_.insert(gradient.unsafeGetTensorImpl());
}

void EarlySums::begin(size_t i) {
  for (; begun_ <= i && begun_ < groups_.size(); ++begun_)
    if (failed_) failed_ = ranks_->begin_sum(groups_[begun_]);
}

Status EarlySums::finish() {
  begin(groups_.size());
  const Status finished = ranks_->finish_sums();
  return failed_ ? finished : failed_;
}

}  // namespace bitloop::trainer
