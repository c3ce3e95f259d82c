#include "trainer/model/program_inputs.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <utility>

namespace bitloop::trainer {

using lua::GraphInput;

ProgramInputs::ProgramInputs(const lua::Graph& graph, const lua::LoweredProgram& lowered,
                             const ProgramTensors& tensors, const NamedTensorMap& params,
                             const NamedTensorMap& state) {
  const auto tensor_of = [&](int index) -> at::Tensor {
    const GraphInput& input = graph.inputs[static_cast<size_t>(index)];
    switch (input.source) {
      case GraphInput::kArgument:
        return tensors.argument;
      case GraphInput::kValue:
        return tensors.value;
      case GraphInput::kGradient:
        return tensors.gradient;
      case GraphInput::kParameter:
        return params.at(input.name);
      case GraphInput::kState:
        return state.at(input.name);
      case GraphInput::kConstant:
        break;
    }
    return input.constant;
  };
  const auto pointers = [&](const std::vector<int>& indices, std::vector<const float*>& out) {
    for (const int index : indices) {
      const at::Tensor tensor = tensor_of(index);
      if (!tensor.defined()) {
        out.push_back(nullptr);  // the argument of a streamed run
        continue;
      }
      keep_.push_back(tensor.detach().contiguous());
      out.push_back(keep_.back().const_data_ptr<float>());
    }
  };
  pointers(lowered.full, full_);
  pointers(lowered.row, row_);
  pointers(lowered.column, column_);
  for (const int index : lowered.scalars)
    scalars_.push_back(tensor_of(index).detach().item<float>());
}

void ProgramInputs::check(int64_t rows, int64_t columns) const {
  size_t next = 0;
  for (const auto& [pointers, count] :
       {std::pair{&full_, rows * columns}, {&row_, rows}, {&column_, columns}})
    for (const float* pointer : *pointers)
      if (pointer != nullptr && keep_[next++].numel() < count)
        throw std::logic_error("a captured program was given a tensor that is too small");
}

}  // namespace bitloop::trainer
