// A captured graph evaluated by LibTorch, operation by operation, with a random error of a few
// roundings in each: how far its results move is what float32 leaves open, and no two ways to
// compute it need to agree better. Slow; for tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "lua/capture/graph.h"
#include "trainer/model/capture.h"

namespace bitloop::trainer {

struct GraphNumbers {
  at::Tensor argument,
      gradient;  // of any shape with the graph's numbers; gradient may be undefined
  const NamedTensorMap *params = nullptr, *state = nullptr;
};

// The nodes `outputs`: a full one (rows, columns), a row (rows, 1), a column (1, columns), a scalar
// (1, 1).
std::vector<at::Tensor> run_noisily(const lua::Graph& graph, std::span<const int> outputs,
                                    const GraphNumbers& numbers, uint64_t seed);

}  // namespace bitloop::trainer
