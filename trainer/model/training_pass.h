// A forward and backward pass that is written out instead of going through autograd: on the CPU
// (FusedTraining) or on an accelerator (DeviceTraining).
#pragma once

#include <ATen/core/Tensor.h>

#include "harness/base/result.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

class TrainingPass {
 public:
  virtual ~TrainingPass() = default;

  // After each Transformer::quantize_weights.
  virtual Status begin_step(const ForwardContext& context) = 0;
  // One micro-batch, ids and targets (B, T) int64 of this processor: its mean loss in nats. Adds
  // `share` times its gradients to those of the parameters and of each layer's used_weight. Errors
  // are those of the candidate's functions; lua::BackwardError of its backward functions passes
  // through. After either, gradients are worth nothing.
  virtual Result<double> accumulate(const at::Tensor& ids_BT, const at::Tensor& targets_BT,
                                    const ForwardContext& context, double share) = 0;
};

}  // namespace bitloop::trainer
