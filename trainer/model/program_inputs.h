// What one run of a captured program on this processor reads: tensors by the names that its graph
// has for them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lua/capture/lower.h"
#include "trainer/kernels/row_program.h"

namespace bitloop::trainer {

using NamedTensorMap = std::map<std::string, at::Tensor>;

// Those that are no parameter, state or constant; undefined where the program has none.
struct ProgramTensors {
  at::Tensor argument;  // or filled in by RowInputs::source
  at::Tensor value{};
  at::Tensor gradient{};
};

// Tensors and pointers in the order of the lowered program.
class ProgramInputs {
 public:
  ProgramInputs(const lua::Graph& graph, const lua::LoweredProgram& lowered,
                const ProgramTensors& tensors, const NamedTensorMap& params,
                const NamedTensorMap& state);

  // Reads this object's memory. Throws where a tensor has not as many numbers as the program reads
  // of it.
  kernels::RowInputs rows(int64_t rows, int64_t columns) const {
    check(rows, columns);
    return {.rows = rows,
            .columns = columns,
            .full = full_,
            .row = row_,
            .column = column_,
            .scalars = scalars_,
            .source = {}};
  }

 private:
  void check(int64_t rows, int64_t columns) const;

  std::vector<at::Tensor> keep_;
  std::vector<const float*> full_, row_, column_;
  std::vector<float> scalars_;
};

}  // namespace bitloop::trainer
