// A micro-batch's tokens on their way to an accelerator. The processor writes them to pinned
// memory, of which there are two pieces: while the accelerator takes one, or works on what came by
// it, the other is filled, and nobody waits for anybody unless the processor is two micro-batches
// ahead.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace bitloop::trainer {

class DeviceBatch {
 public:
  // Of R tokens of a vocabulary of V. All memory is allocated here, and what CUDA wants for it.
  DeviceBatch(int64_t R, int64_t V, at::Device place);

  // Queues the way of ids and targets (R numbers each, int64 of this processor) to the device.
  void take(const at::Tensor& ids, const at::Tensor& targets);

  // What was taken last, on the device.
  const int64_t* ids() const { return there_.ids.const_data_ptr<int64_t>(); }
  const int64_t* targets() const { return there_.targets.const_data_ptr<int64_t>(); }
  // The rows sorted by id, rows of the same id in their order; where each id's begin, and R.
  const int32_t* order() const { return there_.order.const_data_ptr<int32_t>(); }
  const int32_t* starts() const { return there_.starts.const_data_ptr<int32_t>(); }
  int64_t distinct_ids() const { return distinct_ids_; }

 private:
  struct Numbers {
    Numbers(int64_t R, const at::TensorOptions& options);
    at::Tensor ids, targets;   // (R) int64
    at::Tensor order, starts;  // (R), (R + 1) int32
  };
  void sort_rows(const Numbers& here);

  int64_t R_, V_;
  Numbers there_;
  std::vector<Numbers> here_;                       // two where the device is another, or one
  std::array<std::optional<c10::Event>, 2> taken_;  // when the device has read here_[i]
  size_t next_ = 0;                                 // of here_
  int64_t distinct_ids_ = 0;
  std::vector<int32_t> begins_;  // (V + 1): where an id's rows begin in `order`
};

}  // namespace bitloop::trainer
