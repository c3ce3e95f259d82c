#include "trainer/kernels/absmax_rows.h"

namespace bitloop::kernels {

RowQuantizer absmax_rows(int64_t K) {
  constexpr float kLeast = 1e-30f;  // of a row of zeros
  const Operand x{.place = Place::kFull}, most{.place = Place::kRow}, codes{.place = Place::kTile},
      scale{.place = Place::kRow, .index = 1};
  const auto number = [](float value) {
    return Operand{.place = Place::kConstant, .number = value};
  };
  RowProgram program{.tiles = 1, .rows = 2};
  program.phases.resize(1);
  program.phases[0].steps = {{.op = RowOp::kRowAbsMaximum, .a = x, .out = most},
                             {.op = RowOp::kMaximum, .a = most, .b = number(kLeast), .out = most},
                             {.op = RowOp::kDivide, .a = most, .b = number(127.0f), .out = scale},
                             {.op = RowOp::kDivide, .a = x, .b = scale, .out = codes},
                             {.op = RowOp::kRound, .a = codes, .out = codes}};
  program.outputs = {{.from = codes}, {.from = scale, .shape = Output::kRowShape}};
  return {.program = program, .K = K, .low = -127, .high = 127, .half_scale = false};
}

}  // namespace bitloop::kernels
