// Reverse-mode differentiation on the graph.
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "lua/capture/graph.h"

namespace bitloop::lua {

struct GradientGraph {
  Graph graph;  // the forward nodes, then the gradient's; one input more, of source kGradient
  // The gradient of the argument (graph.inputs[0]) and of each parameter, as nodes; -1 where none
  // arrives. Autograd tells two cases apart: no way leads there, or one does on which the gradient
  // is 0 everywhere (round, sign); `zero` is the second.
  int argument = -1;
  bool argument_zero = false;
  struct Parameter {
    std::string name;
    int node = -1;
    bool zero = false;
  };
  std::vector<Parameter> parameters;
};

// The gradient of sum(g * output) where output is a node of kind kFull and g (a full matrix) the
// new input. Rules are PyTorch's: clamp passes the gradient at its bounds, maximum halves it at a
// tie, the largest element of a row shares it among equals, round and comparisons stop it. Error
// "not_captured" where an operation has no rule.
Result<GradientGraph> differentiate(const Graph& forward, int output);
// The gradient of `output`, a node of kind kScalar, itself; likewise.
Result<GradientGraph> differentiate_number(const Graph& forward, int output);

}  // namespace bitloop::lua
