// A program on the rows of a matrix: what a captured quantising function is compiled to.
// Elementwise steps, reductions along a row, over all rows and down the columns; executed tile by
// tile, so that intermediates stay in the cache. The same description serves other back ends.
//
// Legend: R rows, K columns (of a row: all inputs, or one group of them), T rows of a tile.
//
// A program runs in phases: a phase walks over all tiles once and leaves the numbers that later
// phases read (a mean over everything needs a walk of its own). Values live in places:
//   kTile     T x K floats, one a thread
//   kRow      T floats, one a row of the tile
//   kGlobal   one float of the whole run, written at the end of a phase
//   kFull     an input of R x K, kRowInput one of R, kColumn one of K: read through a pointer
//   kConstant the number in the operand itself
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace bitloop::kernels {

enum class RowOp : uint8_t {
  kCopy,
  kNegate,
  kAbs,
  kSign,
  kRound,  // to nearest, halves to even
  kFloor,
  kCeil,
  kTruncate,
  kSquare,
  kSqrt,
  kRsqrt,
  kReciprocal,
  kExp,
  kLog,
  kTanh,
  kSigmoid,
  kNot,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kMaximum,
  kMinimum,
  kLess,
  kLessEqual,
  kEqual,
  kNotEqual,
  kPower,
  kWhere,       // a != 0 ? b : c
  kScaleRound,  // clamp(round(a * b), low, high); b a row, a global or a constant; where c is
                // given, b is its reciprocal, and c divides where float32 has none
  kRowSum,         // tile -> row
  kRowMaximum,     // tile -> row
  kRowMinimum,     // tile -> row
  kRowAbsSum,      // tile -> row
  kRowAbsMaximum,  // tile -> row
  kAllSum,         // tile or row -> global, summed in double in the order of the rows
  kAllMaximum,     // tile or row -> global
  kAllMinimum,     // tile or row -> global
  kColumnSum,      // tile -> an output of K
};

enum class Place : uint8_t { kNone, kTile, kRow, kGlobal, kFull, kRowInput, kColumn, kConstant };

struct Operand {
  Place place = Place::kNone;
  int index = 0;        // of the register or input
  float number = 0.0f;  // kConstant

  bool operator==(const Operand&) const = default;
};

struct Instruction {
  RowOp op = RowOp::kCopy;
  Operand a, b, c;
  Operand out;  // a tile, row or global register; kColumnSum: {kColumn, output index}
  float low = 0.0f, high = 0.0f;  // kScaleRound

  bool operator==(const Instruction&) const = default;
};

// A result. Matrices and rows leave with the tiles of the phase that makes them, single numbers
// when all is done.
struct Output {
  Operand from;  // a tile, row, global, input or constant
  enum Shape : uint8_t { kFullShape, kRowShape, kScalarShape } shape = kFullShape;
  int phase = 0;  // of a full or row output

  bool operator==(const Output&) const = default;
};

struct Phase {
  std::vector<Instruction> scalars;  // on globals and constants, once before the walk
  std::vector<Instruction> steps;    // on every tile

  bool operator==(const Phase&) const = default;
};

struct RowProgram {
  std::vector<Phase> phases;         // at least one
  std::vector<Instruction> finally;  // on globals and constants, once after the last walk
  std::vector<Output> outputs;
  int tiles = 0, rows = 0, globals = 0;  // register counts
  int column_outputs = 0;

  bool operator==(const RowProgram&) const = default;
};

// Inputs of a run. `source` fills rows [first, first + count) of full input 0 into `out` (count x
// K); when it is empty, full[0] is read instead.
struct RowInputs {
  int64_t rows = 0, columns = 0;
  std::span<const float*const> full, row, column;
  std::span<const float> scalars;  // the first global registers
  std::function<void(int64_t first, int64_t count, float* out)> source;
};

// What a phase with outputs hands over for each tile, in any order, from several threads: the
// outputs' numbers for rows [first, first + count): a full output is count x K, a row output count.
// Null for outputs of other phases and single numbers; these come last, in one call with count 0
// (where there are any).
using TileSink =
    std::function<void(int64_t first, int64_t count, std::span<const float* const> outputs)>;

// Runs the program on all threads; the same bits for any number of them. `columns` (column_outputs
// x K) receives the column sums; it may be empty where there are none.
void run(const RowProgram& program, const RowInputs& inputs, const TileSink& sink,
         std::span<float> columns = {});

}  // namespace bitloop::kernels
