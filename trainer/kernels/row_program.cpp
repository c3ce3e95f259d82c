#include "trainer/kernels/row_program.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kTileFloats = 8192;  // all registers together, 32 KiB: they fit into L1
constexpr int64_t kColumnPieces = 16;  // column sums are made in so many pieces, added in order

// An operand of one row: n numbers, or one that stands for all.
struct Side {
  const float* data;
  bool one;
};

// out[i] = f(a, b): three loops, so that each vectorises without gathers. `out` may be an operand: no
// number depends on an earlier one, which the pragma says; without it such a step would run one
// number at a time.
template <typename F>
[[gnu::always_inline]] inline void each(Side a, Side b, float* out, int64_t n, F f) {
  if (b.one) {
    const float y = *b.data;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = f(a.data[i], y);
  } else if (a.one) {
    const float x = *a.data;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = f(x, b.data[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = f(a.data[i], b.data[i]);
  }
}

template <typename F>
[[gnu::always_inline]] inline void each(Side a, float* out, int64_t n, F f) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = f(a.data[i]);
}

// Of two numbers; NaN where either is, so that a broken weight is not clamped into a good code.
[[gnu::always_inline]] inline float larger(float x, float y) {
  return (x > y) | (x != x) ? x : y;
}
[[gnu::always_inline]] inline float smaller(float x, float y) {
  return (x < y) | (x != x) ? x : y;
}

// tanh with a relative error below 4e-7: scales are made of it, too. Cephes' polynomial near 0.
[[gnu::always_inline]] inline float tanh_near_zero(float x) {
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x, far = tanh_inline(x);
  return z < 0.390625f ? near : far;
}

// out[i] = a != 0 ? b : c.
[[gnu::always_inline]] inline void choose(Side a, Side b, Side c, float* out, int64_t n) {
  if (a.one) {
    const Side chosen = *a.data != 0.0f ? b : c;
    for (int64_t i = 0; i < n; ++i) out[i] = chosen.data[chosen.one ? 0 : i];
    return;
  }
  const float y = *b.data, z = *c.data;
  if (b.one && c.one) {
    each(a, out, n, [=](float x) { return x != 0.0f ? y : z; });
  } else if (b.one) {
    each(a, c, out, n, [=](float x, float other) { return x != 0.0f ? y : other; });
  } else if (c.one) {
    each(a, b, out, n, [=](float x, float one) { return x != 0.0f ? one : z; });
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = a.data[i] != 0.0f ? b.data[i] : c.data[i];
  }
}

// Whether float32 holds 1 / x with all its digits.
bool has_reciprocal(float x) {
  const float size = __builtin_fabsf(x);
  return size >= 0x1p-126f && size <= 0x1p126f;
}

// Elementwise steps on n numbers; a, b and c stand for single numbers only as `each` allows, or all
// of them do and n is 1.
BITLOOP_SIMD void elementwise(const Instruction& step, Side a, Side b, Side c, float* out,
                              int64_t n) {
  switch (step.op) {
    case RowOp::kCopy:
      if (a.one)
        std::fill_n(out, n, *a.data);
      else if (out != a.data)
        std::memmove(out, a.data, static_cast<size_t>(n) * sizeof(float));
      return;
    case RowOp::kNegate:
      return each(a, out, n, [](float x) { return -x; });
    case RowOp::kAbs:
      return each(a, out, n, [](float x) { return __builtin_fabsf(x); });
    case RowOp::kSign:
      return each(a, out, n, [](float x) {
        return static_cast<float>(x > 0.0f) - static_cast<float>(x < 0.0f);
      });
    case RowOp::kRound:
      return each(a, out, n, [](float x) { return __builtin_rintf(x); });
    case RowOp::kFloor:
      return each(a, out, n, [](float x) { return __builtin_floorf(x); });
    case RowOp::kCeil:
      return each(a, out, n, [](float x) { return __builtin_ceilf(x); });
    case RowOp::kTruncate:
      return each(a, out, n, [](float x) { return __builtin_truncf(x); });
    case RowOp::kSquare:
      return each(a, out, n, [](float x) { return x * x; });
    case RowOp::kSqrt:
      return each(a, out, n, [](float x) { return __builtin_sqrtf(x); });
    case RowOp::kRsqrt:
      return each(a, out, n, [](float x) { return 1.0f / __builtin_sqrtf(x); });
    case RowOp::kReciprocal:
      return each(a, out, n, [](float x) { return 1.0f / x; });
    case RowOp::kExp:
      return each(a, out, n, [](float x) { return exp_everywhere(x); });
    case RowOp::kLog:
      return each(a, out, n, [](float x) { return std::log(x); });
    case RowOp::kTanh:
      return each(a, out, n, [](float x) { return tanh_near_zero(x); });
    case RowOp::kSigmoid:
      return each(a, out, n, [](float x) { return 1.0f / (1.0f + exp_everywhere(-x)); });
    case RowOp::kNot:
      return each(a, out, n, [](float x) { return static_cast<float>(x == 0.0f); });
    case RowOp::kAdd:
      return each(a, b, out, n, [](float x, float y) { return x + y; });
    case RowOp::kSubtract:
      return each(a, b, out, n, [](float x, float y) { return x - y; });
    case RowOp::kMultiply:
      return each(a, b, out, n, [](float x, float y) { return x * y; });
    case RowOp::kDivide:
      return each(a, b, out, n, [](float x, float y) { return x / y; });
    case RowOp::kMaximum:
      return each(a, b, out, n, [](float x, float y) { return larger(x, y); });
    case RowOp::kMinimum:
      return each(a, b, out, n, [](float x, float y) { return smaller(x, y); });
    case RowOp::kLess:
      return each(a, b, out, n, [](float x, float y) { return static_cast<float>(x < y); });
    case RowOp::kLessEqual:
      return each(a, b, out, n, [](float x, float y) { return static_cast<float>(x <= y); });
    case RowOp::kEqual:
      return each(a, b, out, n, [](float x, float y) { return static_cast<float>(x == y); });
    case RowOp::kNotEqual:
      return each(a, b, out, n, [](float x, float y) { return static_cast<float>(x != y); });
    case RowOp::kPower:
      return each(a, b, out, n, [](float x, float y) { return std::pow(x, y); });
    case RowOp::kScaleRound: {
      const float low = step.low, high = step.high;
      if (step.c.place != Place::kNone && !has_reciprocal(*c.data)) {
        return each(a, c, out, n, [=](float x, float y) {
          const float nearest = __builtin_rintf(x / y);
          const float above = nearest < low ? low : nearest;
          return above > high ? high : above;
        });
      }
      return each(a, b, out, n, [=](float x, float y) {
        const float nearest = __builtin_rintf(x * y);
        const float above = nearest < low ? low : nearest;
        return above > high ? high : above;
      });
    }
    case RowOp::kWhere:
      return choose(a, b, c, out, n);
    default:
      return;
  }
}

// Sums in sixteen lanes, then in order: the vectoriser keeps to it, whatever the width of its
// registers.
constexpr int64_t kLanes = 16;

BITLOOP_SIMD float sum_of(const float* x, int64_t n, bool absolute) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  if (absolute) {
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t l = 0; l < kLanes; ++l) lanes[l] += __builtin_fabsf(x[i + l]);
    for (; i < n; ++i) lanes[0] += __builtin_fabsf(x[i]);
  } else {
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t l = 0; l < kLanes; ++l) lanes[l] += x[i + l];
    for (; i < n; ++i) lanes[0] += x[i];
  }
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// Maximum of sign * x or of |x|, NaN where there is one: the same in any order, so the vectoriser may
// choose one.
BITLOOP_SIMD float largest(const float* x, int64_t n, float sign, bool absolute) {
  if (absolute) {
    // Bits of numbers without a sign stand in the order of the numbers, NaN above all.
    int32_t best = 0;
#pragma omp simd reduction(max : best)
    for (int64_t i = 0; i < n; ++i) {
      const int32_t v = std::bit_cast<int32_t>(x[i]) & 0x7fffffff;
      best = v > best ? v : best;
    }
    return std::bit_cast<float>(best);
  }
  float best = -__builtin_inff();
  int32_t odd = 0;
#pragma omp simd reduction(max : best) reduction(| : odd)
  for (int64_t i = 0; i < n; ++i) {
    const float v = sign * x[i];
    best = v > best ? v : best;
    odd |= v != v ? 1 : 0;
  }
  return odd != 0 ? __builtin_nanf("") : best;
}

float reduce_row(RowOp op, const float* x, int64_t n) {
  switch (op) {
    case RowOp::kRowSum:
      return sum_of(x, n, false);
    case RowOp::kRowAbsSum:
      return sum_of(x, n, true);
    case RowOp::kRowMaximum:
      return largest(x, n, 1.0f, false);
    case RowOp::kRowAbsMaximum:
      return largest(x, n, 1.0f, true);
    case RowOp::kRowMinimum:
      return -largest(x, n, -1.0f, false);
    default:
      return 0.0f;
  }
}

bool is_row_reduction(RowOp op) {
  return op >= RowOp::kRowSum && op <= RowOp::kRowAbsMaximum;
}
bool is_all_reduction(RowOp op) { return op >= RowOp::kAllSum && op <= RowOp::kAllMinimum; }

// One thread's registers and the run they belong to.
class TileMachine {
 public:
  TileMachine(const RowProgram& program, const RowInputs& inputs, int64_t tile_rows,
              const std::vector<float>& globals)
      : program_(program),
        inputs_(inputs),
        T_(tile_rows),
        K_(inputs.columns),
        globals_(globals),
        tiles_(static_cast<size_t>((program.tiles + 1) * T_ * K_)),
        rows_(static_cast<size_t>(program.rows * T_)) {}

  // Rows [first, first + count): `partial(step, value)` receives the all-reductions' shares,
  // `columns` the column sums of this tile, added.
  template <typename Partial>
  void phase(const std::vector<Instruction>& steps, int64_t first, int64_t count, Partial partial,
             float* columns) {
    first_ = first, count_ = count;
    if (inputs_.source) inputs_.source(first, count, source_tile());
    for (size_t i = 0; i < steps.size(); ++i) {
      const Instruction& step = steps[i];
      if (is_row_reduction(step.op)) {
        float* out = row(step.out.index);
        for (int64_t r = 0; r < count; ++r) out[r] = reduce_row(step.op, side(step.a, r).data, K_);
      } else if (is_all_reduction(step.op)) {
        partial(i, all(step));
      } else if (step.op == RowOp::kColumnSum) {
        float* to = columns + step.out.index * K_;
        for (int64_t r = 0; r < count; ++r) {
          const float* from = side(step.a, r).data;
          for (int64_t k = 0; k < K_; ++k) to[k] += from[k];
        }
      } else {
        elementwise_step(step);
      }
    }
  }

  // The numbers of a full or row output for the present tile.
  const float* output(const Output& out) {
    if (out.shape == Output::kFullShape) return side(out.from, 0).data;
    return out.from.place == Place::kRow
               ? row(out.from.index)
               : inputs_.row[static_cast<size_t>(out.from.index)] + first_;
  }

 private:
  float* tile(int index) { return tiles_.data() + (index + 1) * T_ * K_; }
  float* source_tile() { return tiles_.data(); }
  float* row(int index) { return rows_.data() + index * T_; }

  // Operand of row r of the tile.
  Side side(const Operand& operand, int64_t r) {
    const auto index = static_cast<size_t>(operand.index);
    switch (operand.place) {
      case Place::kTile:
        return {tile(operand.index) + r * K_, false};
      case Place::kFull:
        if (operand.index == 0 && inputs_.source) return {source_tile() + r * K_, false};
        return {inputs_.full[index] + (first_ + r) * K_, false};
      case Place::kColumn:
        return {inputs_.column[index], false};
      case Place::kRow:
        return {row(operand.index) + r, true};
      case Place::kRowInput:
        return {inputs_.row[index] + first_ + r, true};
      case Place::kGlobal:
        return {globals_.data() + operand.index, true};
      default:
        return {&operand.number, true};
    }
  }
  // Operand as a run of rows' numbers, for steps on row registers.
  Side row_side(const Operand& operand) {
    Side made = side(operand, 0);
    made.one = operand.place != Place::kRow && operand.place != Place::kRowInput;
    return made;
  }
  static bool varies_by_row(const Operand& operand) {
    return operand.place == Place::kRow || operand.place == Place::kRowInput ||
           operand.place == Place::kColumn;
  }

  void elementwise_step(const Instruction& step) {
    if (step.out.place == Place::kRow) {
      run_step(step, row_side(step.a), row_side(step.b), row_side(step.c), row(step.out.index),
               count_);
    } else if (varies_by_row(step.a) || varies_by_row(step.b) || varies_by_row(step.c)) {
      for (int64_t r = 0; r < count_; ++r)
        run_step(step, side(step.a, r), side(step.b, r), side(step.c, r),
                 tile(step.out.index) + r * K_, K_);
    } else {
      run_step(step, side(step.a, 0), side(step.b, 0), side(step.c, 0), tile(step.out.index),
               count_ * K_);
    }
  }

  // `each` wants at least one operand of n numbers; where all are single numbers one result is made
  // and copied.
  static void run_step(const Instruction& step, Side a, Side b, Side c, float* out, int64_t n) {
    const bool binary = step.b.place != Place::kNone;
    const bool all_one = a.one && (!binary || b.one) && step.op != RowOp::kWhere;
    if (!all_one || n == 1 || step.op == RowOp::kCopy)
      return elementwise(step, a, b, c, out, n);
    float value;
    elementwise(step, a, b, c, &value, 1);
    std::fill_n(out, n, value);
  }

  double all(const Instruction& step) {
    const bool rows = step.a.place == Place::kRow || step.a.place == Place::kRowInput;
    const RowOp op = step.op;
    if (rows) {
      const float* x = row_side(step.a).data;
      if (op == RowOp::kAllMaximum) return largest(x, count_, 1.0f, false);
      if (op == RowOp::kAllMinimum) return -largest(x, count_, -1.0f, false);
      double sum = 0.0;
      for (int64_t r = 0; r < count_; ++r) sum += x[r];
      return sum;
    }
    double sum = 0.0;
    float best = -__builtin_inff();
    for (int64_t r = 0; r < count_; ++r) {
      const float* x = side(step.a, r).data;
      if (op == RowOp::kAllSum)
        sum += sum_of(x, K_, step.low != 0.0f);
      else
        best = larger(best, largest(x, K_, op == RowOp::kAllMaximum ? 1.0f : -1.0f,
                                    step.low != 0.0f));
    }
    if (op == RowOp::kAllSum) return sum;
    return op == RowOp::kAllMaximum ? best : -best;
  }

  const RowProgram& program_;
  const RowInputs& inputs_;
  const int64_t T_, K_;
  const std::vector<float>& globals_;
  std::vector<float> tiles_, rows_;
  int64_t first_ = 0, count_ = 0;
};

Side scalar(const Operand& operand, const std::vector<float>& globals) {
  if (operand.place == Place::kGlobal)
    return {globals.data() + operand.index, true};
  return {&operand.number, true};
}

double combine(RowOp op, double a, double b) {
  if (op == RowOp::kAllSum) return a + b;
  const bool first = op == RowOp::kAllMaximum ? a > b : a < b;
  return first || std::isnan(a) ? a : b;
}

void run_scalars(const std::vector<Instruction>& steps, std::vector<float>& globals) {
  for (const Instruction& step : steps)
    elementwise(step, scalar(step.a, globals), scalar(step.b, globals), scalar(step.c, globals),
                globals.data() + step.out.index, 1);
}

bool is_of_phase(const Output& output, size_t phase) {
  return output.shape != Output::kScalarShape && output.phase == static_cast<int>(phase);
}

}  // namespace

void run(const RowProgram& program, const RowInputs& inputs, const TileSink& sink,
         std::span<float> columns) {
  const int64_t R = inputs.rows, K = inputs.columns;
  if (R == 0 || K == 0) return;
  const int64_t T = std::clamp<int64_t>(kTileFloats / ((program.tiles + 1) * K), 1, R),
                tiles = (R + T - 1) / T;
  std::vector<float> globals(static_cast<size_t>(program.globals));
  std::copy(inputs.scalars.begin(), inputs.scalars.end(), globals.begin());
  std::fill(columns.begin(), columns.end(), 0.0f);
  for (size_t p = 0; p < program.phases.size(); ++p) {
    const std::vector<Instruction>& steps = program.phases[p].steps;
    run_scalars(program.phases[p].scalars, globals);
    const bool hands_over =
        sink && std::any_of(program.outputs.begin(), program.outputs.end(),
                            [&](const Output& output) { return is_of_phase(output, p); });
    std::vector<size_t> reductions;
    bool column_sums = false;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (is_all_reduction(steps[i].op)) reductions.push_back(i);
      column_sums |= steps[i].op == RowOp::kColumnSum;
    }
    const int64_t pieces = column_sums ? std::min(kColumnPieces, tiles) : 1;
    std::vector<float> piece_columns(
        column_sums ? static_cast<size_t>(pieces * program.column_outputs * K) : 0);
    std::vector<double> shares(reductions.size() * static_cast<size_t>(tiles));
    // Tiles are handed out in whole pieces, so which thread makes a piece changes nothing.
    const int64_t per_piece = (tiles + pieces - 1) / pieces;
    run_parts(column_sums ? pieces : tiles, 1, [&](int64_t begin, int64_t end) {
      TileMachine machine(program, inputs, T, globals);
      const int64_t from = column_sums ? begin * per_piece : begin,
                    to = std::min(tiles, column_sums ? end * per_piece : end);
      std::vector<const float*> results(program.outputs.size(), nullptr);
      for (int64_t t = from; t < to; ++t) {
        const int64_t first = t * T, count = std::min(T, R - first);
        float* sums = column_sums ? piece_columns.data() + t / per_piece * program.column_outputs * K
                                  : nullptr;
        machine.phase(
            steps, first, count,
            [&](size_t step, double value) {
              const size_t place = static_cast<size_t>(
                  std::lower_bound(reductions.begin(), reductions.end(), step) - reductions.begin());
              shares[place * static_cast<size_t>(tiles) + static_cast<size_t>(t)] = value;
            },
            sums);
        if (!hands_over) continue;
        for (size_t o = 0; o < results.size(); ++o)
          if (is_of_phase(program.outputs[o], p)) results[o] = machine.output(program.outputs[o]);
        sink(first, count, results);
      }
    });
    for (size_t i = 0; i < reductions.size(); ++i) {
      const Instruction& step = steps[reductions[i]];
      const double* share = shares.data() + i * static_cast<size_t>(tiles);
      double value = share[0];
      for (int64_t t = 1; t < tiles; ++t) value = combine(step.op, value, share[t]);
      globals[static_cast<size_t>(step.out.index)] = static_cast<float>(value);
    }
    for (int64_t piece = 0; column_sums && piece < pieces; ++piece)
      for (size_t k = 0; k < columns.size(); ++k)
        columns[k] += piece_columns[static_cast<size_t>(piece) * columns.size() + k];
  }
  run_scalars(program.finally, globals);
  std::vector<const float*> results(program.outputs.size(), nullptr);
  bool any = false;
  for (size_t o = 0; o < results.size(); ++o) {
    if (program.outputs[o].shape != Output::kScalarShape) continue;
    results[o] = scalar(program.outputs[o].from, globals).data;
    any = true;
  }
  if (any && sink) sink(0, 0, results);
}

}  // namespace bitloop::kernels
