// Whether a run has fallen so far behind the task's baseline that the rest of its steps is wasted
// (the rule: harness/tasks/early_stop.h).
#pragma once

#include <cstdint>
#include <string>

#include "trainer/job.h"

namespace bitloop::trainer {

// Fed with every evaluation of a run, in the order of steps.
class EarlyStopWatch {
 public:
  explicit EarlyStopWatch(const EarlyStop& rule) : rule_(rule) {}

  // True once the loss was above its limit so often in a row. An evaluation does not count while
  // quantisation is still being turned up (lambda < 1, although scores are made with 1), nor where
  // no limit was measured. A loss that is not a number is above every limit.
  bool is_hopeless(int64_t step, double lambda, double val_loss);
  // Why; of the last evaluation.
  std::string sentence(int64_t steps) const;
  // What it remembers, for a run that goes on in another process.
  int64_t in_a_row() const { return in_a_row_; }
  void set_in_a_row(int64_t count) { in_a_row_ = count; }

 private:
  const EarlyStop& rule_;
  int64_t in_a_row_ = 0;
  int64_t step_ = 0;
  double val_loss_ = 0;
};

}  // namespace bitloop::trainer
