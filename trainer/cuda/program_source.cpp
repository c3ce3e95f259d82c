#include "trainer/cuda/program_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace bitloop::cuda {

using kernels::Instruction;
using kernels::Operand;
using kernels::Phase;
using kernels::Place;
using kernels::RowOp;
using kernels::RowProgram;

namespace {

constexpr int kVector = 8;
constexpr int64_t kMostVectors = 4;  // of a thread: so many loads are under way at once
constexpr int kWarpRows = 4;         // of a block, where a warp has a whole row

// Rounding is asked for by instruction, and contraction is off (see build() in compiler.cpp):
// numbers are the CPU's but for the order of sums and the elementary functions.
constexpr const char* kPrelude = R"cuda(
// A thread has VECTORS times eight neighbouring numbers, THREADS vectors apart.
#define COUNT (8 * VECTORS)
#define EACH _Pragma("unroll") for (int i = 0; i < COUNT; ++i) if (WHOLE || mine[i / 8])

__device__ inline float low_half(unsigned bits) { return __uint_as_float(bits << 16); }
__device__ inline float high_half(unsigned bits) { return __uint_as_float(bits & 0xffff0000u); }
#ifndef BITLOOP_EMULATED  // what tests without a GPU bring themselves
__device__ inline unsigned round_pair(float low, float high) {
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
__device__ inline float round_half(float x) {
  unsigned short half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
  float back;
  asm("cvt.f32.f16 %0, %1;" : "=f"(back) : "h"(half));
  return back;
}
// NaN stays NaN.
__device__ inline float clamp(float x, float low, float high) {
  asm("max.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(low));
  asm("min.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(high));
  return x;
}
#endif
__device__ inline float larger(float x, float y) { return (x > y) | (x != x) ? x : y; }
__device__ inline float smaller(float x, float y) { return (x < y) | (x != x) ? x : y; }

struct Sum {
  __device__ static float none() { return 0.0f; }
  __device__ static float both(float a, float b) { return a + b; }
};
struct Largest {
  __device__ static float none() { return __uint_as_float(0xff800000u); }
  __device__ static float both(float a, float b) { return larger(larger(a, b), b); }
};
struct Smallest {
  __device__ static float none() { return __uint_as_float(0x7f800000u); }
  __device__ static float both(float a, float b) { return smaller(smaller(a, b), b); }
};
// Over all threads of the block, in a fixed order. Each call has room of its own.
template <typename How>
__device__ inline float reduce(float v, float* room) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) v = How::both(v, __shfl_xor_sync(0xffffffffu, v, d));
  if (WARPS == 1) return v;
  const int lane = threadIdx.x % 32;
  if (lane == 0) room[threadIdx.x / 32] = v;
  __syncthreads();
  v = room[0];
#pragma unroll
  for (int w = 1; w < WARPS; ++w) v = How::both(v, room[w]);
  return v;
}
// The numbers of a row that this thread has, of an array of K.
__device__ inline void load(const float* from, const bool (&mine)[VECTORS], float (&to)[COUNT]) {
#pragma unroll
  for (int v = 0; v < VECTORS; ++v) {
    if (!WHOLE && !mine[v]) continue;
    const float4* four = (const float4*)from + 2 * (threadIdx.x + v * THREADS);
    const float4 a = four[0], b = four[1];
    to[8 * v] = a.x, to[8 * v + 1] = a.y, to[8 * v + 2] = a.z, to[8 * v + 3] = a.w;
    to[8 * v + 4] = b.x, to[8 * v + 5] = b.y, to[8 * v + 6] = b.z, to[8 * v + 7] = b.w;
  }
}
// Below 2^22 in size: where numbers end with their ones, and so do their bits.
#define ONES 12582912.0f
__device__ inline float round_small(float x) { return (x + ONES) - ONES; }
__device__ inline unsigned byte_of(float whole) { return __float_as_uint(whole + ONES) & 0xffu; }
// To whole numbers in [low, high], which are whole themselves: rounding first would give the same.
__device__ inline float scale_round(float x, float by, float low, float high) {
  return round_small(clamp(x * by, low, high));
}
__device__ inline float scale_round(float x, float by, float divisor, float low, float high) {
  const float size = fabsf(divisor);
  return round_small(
      clamp(size >= 0x1p-126f && size <= 0x1p126f ? x * by : x / divisor, low, high));
}
// Where the bounds are not whole, or large.
__device__ inline float scale_round_any(float x, float by, float low, float high) {
  return clamp(rintf(x * by), low, high);
}
__device__ inline float scale_round_any(float x, float by, float divisor, float low, float high) {
  const float size = fabsf(divisor);
  return clamp(rintf(size >= 0x1p-126f && size <= 0x1p126f ? x * by : x / divisor), low, high);
}
)cuda";

bool has_small_bounds(const Instruction& step) {
  const auto small = [](float bound) {
    return std::rint(bound) == bound && std::abs(bound) < 4e6f;
  };
  return small(step.low) && small(step.high);
}

}  // namespace

std::string number(float value) {
  return fmt::format("__uint_as_float(0x{:08x}u)", std::bit_cast<uint32_t>(value));
}

bool is_row_reduction(RowOp op) { return op >= RowOp::kRowSum && op <= RowOp::kRowAbsMaximum; }

std::string text(const Operand& operand) {
  switch (operand.place) {
    case Place::kTile:
      return fmt::format("t{}[i]", operand.index);
    case Place::kFull:
      return "x[i]";
    case Place::kRow:
      return fmt::format("r{}", operand.index);
    case Place::kRowInput:
      return fmt::format("a.row[{}][row]", operand.index);
    case Place::kColumn:
      return fmt::format("c{}[i]", operand.index);
    case Place::kGlobal:
      return fmt::format("g{}", operand.index);
    default:
      return number(operand.number);
  }
}

std::string expression(const Instruction& step) {
  const std::string a = text(step.a), b = text(step.b), c = text(step.c);
  const auto call = [&](const char* form) { return fmt::format(fmt::runtime(form), a, b, c); };
  switch (step.op) {
    case RowOp::kCopy:
      return a;
    case RowOp::kNegate:
      return call("-({0})");
    case RowOp::kAbs:
      return call("fabsf({0})");
    case RowOp::kSign:
      return call("(float)({0} > 0.0f) - (float)({0} < 0.0f)");
    case RowOp::kRound:
      return call("rintf({0})");
    case RowOp::kFloor:
      return call("floorf({0})");
    case RowOp::kCeil:
      return call("ceilf({0})");
    case RowOp::kTruncate:
      return call("truncf({0})");
    case RowOp::kSquare:
      return call("({0}) * ({0})");
    case RowOp::kSqrt:
      return call("sqrtf({0})");
    case RowOp::kRsqrt:
      return call("1.0f / sqrtf({0})");
    case RowOp::kReciprocal:
      return call("1.0f / ({0})");
    case RowOp::kExp:
      return call("expf({0})");
    case RowOp::kLog:
      return call("logf({0})");
    case RowOp::kTanh:
      return call("tanhf({0})");
    case RowOp::kSigmoid:
      return call("1.0f / (1.0f + expf(-({0})))");
    case RowOp::kNot:
      return call("(float)(({0}) == 0.0f)");
    case RowOp::kAdd:
      return call("({0}) + ({1})");
    case RowOp::kSubtract:
      return call("({0}) - ({1})");
    case RowOp::kMultiply:
      return call("({0}) * ({1})");
    case RowOp::kDivide:
      return call("({0}) / ({1})");
    case RowOp::kMaximum:
      return call("larger({0}, {1})");
    case RowOp::kMinimum:
      return call("smaller({0}, {1})");
    case RowOp::kLess:
      return call("(float)(({0}) < ({1}))");
    case RowOp::kLessEqual:
      return call("(float)(({0}) <= ({1}))");
    case RowOp::kEqual:
      return call("(float)(({0}) == ({1}))");
    case RowOp::kNotEqual:
      return call("(float)(({0}) != ({1}))");
    case RowOp::kPower:
      return call("powf({0}, {1})");
    case RowOp::kWhere:
      return call("(({0}) != 0.0f ? ({1}) : ({2}))");
    case RowOp::kScaleRound:
      return fmt::format(
          "{}({}, {}, {}{}, {})", has_small_bounds(step) ? "scale_round" : "scale_round_any", a, b,
          step.c.place != Place::kNone ? c + ", " : "", number(step.low), number(step.high));
    default:
      return "0.0f";
  }
}

namespace {

// A row register of a tile: what the thread has of it, and then all threads together.
std::string reduction(const Instruction& step, int room) {
  const char* how = step.op == RowOp::kRowSum || step.op == RowOp::kRowAbsSum ? "Sum"
                    : step.op == RowOp::kRowMinimum                           ? "Smallest"
                                                                              : "Largest";
  const bool absolute = step.op == RowOp::kRowAbsSum || step.op == RowOp::kRowAbsMaximum;
  const std::string a = text(step.a);
  return fmt::format(
      "  {{\n    float v = {0}::none();\n    EACH v = {0}::both(v, {1});\n"
      "    r{2} = reduce<{0}>(v, room[{3}]);\n  }}\n",
      how, absolute ? "fabsf(" + a + ")" : a, step.out.index, room);
}

}  // namespace

// As few threads as hold a row of up to kMostVectors vectors each: a warp needs no barrier.
RowKernelShape row_kernel_shape(int64_t K) {
  const int64_t vectors = K / kVector;
  const int64_t warps = (vectors + 32 * kMostVectors - 1) / (32 * kMostVectors);
  RowKernelShape shape;
  shape.threads = static_cast<int>(32 * warps);
  shape.vectors = static_cast<int>((vectors + shape.threads - 1) / shape.threads);
  shape.rows = warps == 1 ? kWarpRows : 1;
  return shape;
}

std::string prelude(int64_t K) {
  const RowKernelShape shape = row_kernel_shape(K);
  const bool whole = static_cast<int64_t>(shape.threads) * shape.vectors * kVector == K;
  return fmt::format(
      "#define K {}\n#define THREADS {}\n#define WARPS {}\n#define VECTORS {}\n#define WHOLE "
      "{}\n{}",
      K, shape.threads, shape.threads / 32, shape.vectors, whole ? "true" : "false", kPrelude);
}

int64_t row_reductions(const Phase& phase) {
  return std::ranges::count_if(phase.steps,
                               [](const Instruction& step) { return is_row_reduction(step.op); });
}

bool makes_whole_codes(const RowProgram& program, float low, float high) {
  const Operand& codes = program.outputs[0].from;
  if (codes.place != Place::kTile) return false;
  const auto& steps = program.phases[static_cast<size_t>(program.outputs[0].phase)].steps;
  const auto last = std::find_if(steps.rbegin(), steps.rend(), [&](const Instruction& step) {
    return step.out.place == Place::kTile && step.out.index == codes.index;
  });
  return last != steps.rend() && last->op == RowOp::kScaleRound && has_small_bounds(*last) &&
         last->low >= low && last->high <= high;
}

bool can_write(const RowProgram& program, const Phase& phase, std::string& why) {
  if (program.tiles > 12 || program.globals > 64 || row_reductions(phase) > 24) {
    why = "the program is too long for one kernel";
    return false;
  }
  const auto writable = [](const Operand& operand) {
    if (operand.place == Place::kFull) return operand.index == 0;
    const bool input = operand.place == Place::kRowInput || operand.place == Place::kColumn;
    return !input || operand.index < kMostOperands;
  };
  const bool all = std::ranges::all_of(phase.steps, [&](const Instruction& step) {
    return writable(step.a) && writable(step.b) && writable(step.c) && step.op != RowOp::kColumnSum;
  });
  if (!all) why = "the program reads or makes more than one matrix";
  return all;
}

void add_inputs(const RowProgram& program, const Phase& phase, std::string& source) {
  std::vector<int> columns;
  const auto note = [&](const Operand& operand) {
    if (operand.place == Place::kColumn &&
        std::ranges::find(columns, operand.index) == columns.end())
      columns.push_back(operand.index);
  };
  for (const Instruction& step : phase.steps) note(step.a), note(step.b), note(step.c);
  for (const kernels::Output& output : program.outputs) note(output.from);
  for (const int c : columns)
    source += fmt::format("  float c{0}[COUNT];\n  load(a.column[{0}], mine, c{0});\n", c);
  for (int t = 0; t < program.tiles; ++t) source += fmt::format("  float t{}[COUNT];\n", t);
  for (int r = 0; r < program.rows; ++r) source += fmt::format("  float r{};\n", r);
}

void add_scalars(std::span<const Instruction> steps, std::string& source) {
  for (const Instruction& step : steps)
    source += fmt::format("  g{} = {};\n", step.out.index, expression(step));
}

void add_step(const Instruction& step, int& room, std::string& source) {
  if (is_row_reduction(step.op))
    source += reduction(step, room++);
  else if (step.out.place == Place::kRow)
    source += fmt::format("  r{} = {};\n", step.out.index, expression(step));
  else
    source += fmt::format("  EACH t{}[i] = {};\n", step.out.index, expression(step));
}

}  // namespace bitloop::cuda
