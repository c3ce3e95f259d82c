// Weights on an accelerator: weight_quant of each layer as a captured program that goes over the
// matrix there and leaves int8 codes and scales. Training only; what can't be captured is called
// operation by operation, and its reason kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/kernels/device_kernels.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

class DeviceWeights : public WeightPrograms {
 public:
  explicit DeviceWeights(kernels::DeviceKernels& device);
  ~DeviceWeights() override;

  // Captures the function of every layer on its weight, on this processor; `on_cpu` is the
  // candidate in a state whose tensors are there. Errors are the function's own.
  Status capture(std::span<BitLinear* const> layers, lua::Quantizer& on_cpu,
                 const ForwardContext& context);
  // Why the first of the layers that are not captured is not; empty: all are.
  const std::string& reason() const { return reason_; }

  std::vector<Result<std::optional<Operand>>> pack(std::span<BitLinear* const> layers,
                                                   const ForwardContext& context) override;

 private:
  struct Program;
  Status capture_layer(BitLinear& layer, lua::Quantizer& on_cpu, const ForwardContext& context);
  Program* program_of(const BitLinear& layer);

  kernels::DeviceKernels* device_;
  std::vector<std::unique_ptr<Program>> programs_;
  at::Tensor refused_;  // (programs) int32
  std::string reason_;
};

}  // namespace bitloop::trainer
