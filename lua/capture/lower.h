// From the graph to a program of row kernels: what is not needed falls away, equal steps are done
// once, common chains become one step, registers are shared.
#pragma once

#include <span>
#include <vector>

#include "lua/capture/graph.h"
#include "trainer/kernels/row_program.h"

namespace bitloop::lua {

// A program with the tensors it reads: entry i of full, row, column and scalars says which
// GraphInput stands there.
struct LoweredProgram {
  kernels::RowProgram program;
  std::vector<int> full, row, column, scalars;  // indices of GraphInputs
};

// The program that computes the nodes `outputs`, in this order; a kColumnSum node becomes a column
// output instead, in the order of `outputs` too, and has no entry among the program's outputs.
// `divides`: quotients are divisions always; else the product with a reciprocal where that is as
// good (a code may lie on the other side of a rounding boundary).
LoweredProgram lower(const Graph& graph, std::span<const int> outputs, bool divides = false);

}  // namespace bitloop::lua
