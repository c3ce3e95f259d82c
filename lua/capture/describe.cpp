#include "lua/capture/describe.h"

#include <fmt/format.h>

#include <vector>

namespace bitloop::lua {
namespace {

using kernels::Instruction;
using kernels::Operand;
using kernels::Place;
using kernels::RowOp;

const char* op_name(RowOp op) {
  constexpr const char* kNames[] = {
      "copy",    "negate",      "abs",         "sign",        "round",
      "floor",   "ceil",        "truncate",    "square",      "sqrt",
      "rsqrt",   "reciprocal",  "exp",         "log",         "tanh",
      "sigmoid", "not",         "add",         "subtract",    "multiply",
      "divide",  "maximum",     "minimum",     "less",        "less_equal",
      "equal",   "not_equal",   "power",       "where",       "scale_round",
      "row_sum", "row_maximum", "row_minimum", "row_abs_sum", "row_abs_maximum",
      "all_sum", "all_maximum", "all_minimum", "column_sum"};
  return kNames[static_cast<size_t>(op)];
}

std::string operand_text(const Operand& operand) {
  switch (operand.place) {
    case Place::kNone:
      return "";
    case Place::kTile:
      return fmt::format(" t{}", operand.index);
    case Place::kRow:
      return fmt::format(" r{}", operand.index);
    case Place::kGlobal:
      return fmt::format(" g{}", operand.index);
    case Place::kFull:
      return fmt::format(" in{}", operand.index);
    case Place::kRowInput:
      return fmt::format(" row{}", operand.index);
    case Place::kColumn:
      return fmt::format(" column{}", operand.index);
    case Place::kConstant:
      return fmt::format(" {}", operand.number);
  }
  return "";
}

}  // namespace

std::string describe(const kernels::RowProgram& program) {
  std::string text;
  const auto add = [&](const std::vector<Instruction>& steps) {
    for (const Instruction& step : steps)
      text += fmt::format(" {} = {}{}{}{}\n", operand_text(step.out), op_name(step.op),
                          operand_text(step.a), operand_text(step.b), operand_text(step.c));
  };
  for (size_t p = 0; p < program.phases.size(); ++p) {
    text += fmt::format("phase {}\n", p);
    add(program.phases[p].scalars);
    add(program.phases[p].steps);
  }
  if (!program.finally.empty()) text += "finally\n";
  add(program.finally);
  return text;
}

}  // namespace bitloop::lua
