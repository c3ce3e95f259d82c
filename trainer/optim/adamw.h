// AdamW (Loshchilov & Hutter 2019) with decoupled decay on matrices only, and clipping by the
// global gradient norm.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/job.h"

namespace bitloop::trainer {

class AdamW {
 public:
  // One learnable tensor: its rate is the schedule's times lr_scale, its decay is its own.
  struct Slot {
    at::Tensor parameter;
    double lr_scale = 1.0;
    double weight_decay = 0.0;
    std::string name = {};  // for checkpoints
  };

  // Parameters must be contiguous and float32, all on one device.
  AdamW(std::vector<Slot> slots, const TrainConfig& config);

  // Clips all gradients to config.grad_clip by their global norm, updates the parameters and drops
  // the gradients. Parameters without gradient stay. Returns the norm before clipping; when its
  // square is not finite in float32 nothing is updated, and what is returned is not finite.
  double step(double learning_rate);
  // The same by LibTorch's operations, on any device; step() does so where that is not the CPU.
  double step_by_operations(double learning_rate);

  // The moments by name (that of the slot's parameter behind "adamw.first." and "adamw.second."):
  // with steps_done(), all that it holds beside the parameters. The tensors are its own.
  std::vector<std::pair<std::string, at::Tensor>> moments() const;
  int64_t steps_done() const { return steps_; }
  void set_steps_done(int64_t steps) { steps_ = steps; }

 private:
  struct Moments {
    at::Tensor first, second;
  };
  std::vector<Slot> slots_;
  std::vector<Moments> moments_;
  double beta1_, beta2_, grad_clip_;
  int64_t steps_ = 0;
};

}  // namespace bitloop::trainer
