#include "trainer/model/captured_inputs.h"

#include <ATen/ATen.h>

namespace bitloop::trainer {

NamedTensorMap on_cpu_of(const NamedTensorMap& tensors) {
  NamedTensorMap copies;
  for (const auto& [name, tensor] : tensors)
    copies[name] = tensor.detach().to(at::kCPU).requires_grad_(tensor.requires_grad());
  return copies;
}

BoundInputs::BoundInputs(const lua::Graph& graph, const std::vector<int>& columns,
                         const std::vector<int>& scalars, const BitLinear& layer) {
  const auto tensor_of = [&](int index) -> at::Tensor {
    const lua::GraphInput& input = graph.inputs[static_cast<size_t>(index)];
    if (input.source == lua::GraphInput::kParameter) return layer.params.at(input.name).detach();
    if (input.source == lua::GraphInput::kState) return layer.state.at(input.name).detach();
    return input.constant;
  };
  for (const int index : columns) {
    owners_.push_back(tensor_of(index).to(layer.weight.device(), at::kFloat).contiguous());
    columns_.push_back(owners_.back().const_data_ptr<float>());
  }
  for (const int index : scalars) scalars_.push_back(tensor_of(index).item<float>());
}

}  // namespace bitloop::trainer
