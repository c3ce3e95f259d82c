// A forward and backward pass that is written out instead of going through autograd: on the CPU
// (FusedTraining) or on an accelerator (DeviceTraining).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "harness/base/result.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

class TrainingPass {
 public:
  // Of TrainingPass::early_gradients, those with this number are whole.
  using Announce = std::function<void(size_t)>;

  virtual ~TrainingPass() = default;

  // After each Transformer::quantize_weights.
  virtual Status begin_step(const ForwardContext& context) = 0;
  // One micro-batch, ids and targets (B, T) int64 of this processor: its mean loss in nats, one
  // float64, which may still be computed when this returns. Adds `share` times its gradients to
  // those of the parameters and of each layer's used_weight, and calls `announce` (which may be
  // null) with 0, 1, … as early_gradients() become whole. Errors are those of the candidate's
  // functions; lua::BackwardError of its backward functions passes through. After either, gradients
  // are worth nothing.
  virtual Result<at::Tensor> accumulate(const at::Tensor& ids_BT, const at::Tensor& targets_BT,
                                        const ForwardContext& context, double share,
                                        const Announce& announce = nullptr) = 0;
  // After the last micro-batch of a step and when its losses are there: what accumulate left
  // unsaid.
  virtual Status end_step(const ForwardContext&) { return {}; }

  // The gradients that are whole before a micro-batch's backward pass ends, in groups in the order
  // in which they become so. The same tensors from begin_step to the next.
  virtual std::vector<std::vector<at::Tensor>> early_gradients() { return {}; }
};

}  // namespace bitloop::trainer
