// What a captured program reads beside its matrix, for an accelerator: parameters and state of the
// layer by name, constants.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "lua/capture/graph.h"
#include "trainer/kernels/device_kernels.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/capture.h"

namespace bitloop::trainer {

// Copies on this processor, with gradients where the originals have them: for capturing.
NamedTensorMap on_cpu_of(const NamedTensorMap& tensors);

// The inputs `columns` and `scalars` of the graph as they are now, on the device of the layer's
// weight.
class BoundInputs {
 public:
  BoundInputs() = default;
  BoundInputs(const lua::Graph& graph, const std::vector<int>& columns,
              const std::vector<int>& scalars, const BitLinear& layer);

  kernels::RowArguments arguments() const {
    return {.row = {}, .column = columns_, .scalars = scalars_};
  }

 private:
  std::vector<at::Tensor> owners_;
  std::vector<const float*> columns_;
  std::vector<float> scalars_;
};

}  // namespace bitloop::trainer
