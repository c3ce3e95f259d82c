// The processes that train together: each computes the gradient of its own part of a step's batch,
// they add the gradients up, and each makes the same update of the same weights. Every rank calls
// the same functions in the same order.
//
// A rank that fails still takes part, and says so where all meet (meeting.h). One that can't any
// more is noticed by the others: its end at once, its silence after `wait_s`.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "trainer/job.h"

namespace bitloop::trainer {

// All functions: error "infrastructure" with one sentence when a rank has ended or does not come.
class Ranks {
 public:
  virtual ~Ranks() = default;

  int64_t rank() const { return rank_; }
  int64_t count() const { return count_; }
  bool first() const { return rank_ == 0; }

  // Each tensor becomes the sum of all ranks' tensors, the same bits on every rank and in every
  // run. float32, contiguous, of the same shapes everywhere; on any device.
  virtual Status sum(std::span<const at::Tensor> tensors) = 0;
  // The same while this process goes on: what is queued for the tensors' device by now comes before
  // their sums, and finish_sums returns when all that were begun are made. Nothing else may be
  // asked of the ranks in between, and nothing done with the tensors. Without prepare_early_sums it
  // is `sum`.
  virtual Status begin_sum(std::span<const at::Tensor> tensors) { return sum(tensors); }
  virtual Status finish_sums() { return {}; }
  // What begin_sum needs for tensors on `device`, while threads and such can still be made. Called
  // by every rank.
  virtual Status prepare_early_sums(at::Device) { return {}; }
  // Each tensor becomes what it is on rank 0, bit by bit. Contiguous, of the same shapes and types.
  virtual Status broadcast(std::span<const at::Tensor> tensors) = 0;
  // What every rank says, in the order of the ranks; at most kMostWords bytes of each are kept.
  virtual Result<std::vector<std::string>> exchange(std::string_view words) = 0;
  // Ranks other than 0 sleep until rank 0 comes, for as long as that takes and rank 0 is not
  // stopped: it does what is done once, such as evaluations.
  virtual Status wait_for_first() = 0;

  static constexpr size_t kMostWords = 4096;

 protected:
  Ranks(int64_t rank, int64_t count) : rank_(rank), count_(count) {}

 private:
  int64_t rank_, count_;
};

// Connects this process with the others as the job says; null where it trains alone. To be called
// before the system calls are narrowed. Errors: "bad_job", "io_error", "infrastructure".
Result<std::unique_ptr<Ranks>> open_ranks(const RankConfig& config);

}  // namespace bitloop::trainer
