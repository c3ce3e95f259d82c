#include "trainer/cuda/weight_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace bitloop::cuda {
namespace {

using kernels::Instruction;
using kernels::Output;
using kernels::Phase;
using kernels::Place;
using kernels::RowOp;
using kernels::RowProgram;
using kernels::WeightQuantizer;

constexpr const char* kArguments = R"cuda(
struct Arguments {
  const float* w;
  const float* row[8];
  const float* column[8];
  float scalar[8];
  float* globals;
  double* parts;
  uint2* codes;
  float* scale;
  int* refused;
  long long rows;
  int blocks;
};

__device__ inline double larger_of(double a, double b) { return (a > b) | (a != a) ? a : b; }
__device__ inline double smaller_of(double a, double b) { return (a < b) | (a != a) ? a : b; }
__device__ inline double sum_of(double a, double b) { return a + b; }
__device__ inline float stored_scale(float scale, bool half, int* refused) {
  if (half) scale = round_half(scale);
  if (!(fabsf(scale) < __uint_as_float(0x7f800000u))) *refused = 1;
  return scale;
}
)cuda";

bool is_all_reduction(RowOp op) { return op >= RowOp::kAllSum && op <= RowOp::kAllMinimum; }

const char* combine(RowOp op) {
  return op == RowOp::kAllSum ? "sum_of" : op == RowOp::kAllMaximum ? "larger_of" : "smaller_of";
}
const char* identity(RowOp op) {
  return op == RowOp::kAllSum ? "0.0" : op == RowOp::kAllMaximum ? "-1e300" : "1e300";
}

// What the walk gathers over the whole matrix: each thread its own, in double.
void add_all_reduction(const Instruction& step, int index, std::string& source) {
  const bool of_rows = step.a.place == Place::kRow || step.a.place == Place::kRowInput;
  const std::string a = text(step.a), value = step.low != 0.0f ? "fabsf(" + a + ")" : a;
  if (of_rows) {
    source += fmt::format("    if (threadIdx.x == 0) all{0} = {1}(all{0}, (double)({2}));\n", index,
                          combine(step.op), value);
  } else if (step.op == RowOp::kAllSum) {
    // A thread's few numbers of a row in float32, as a row's sum is on the CPU.
    source += fmt::format(
        "    {{\n      float sum = 0.0f;\n      EACH sum += {1};\n      all{0} += (double)sum;\n   "
        " }}\n",
        index, value);
  } else {
    source += fmt::format("    EACH all{0} = {1}(all{0}, (double)({2}));\n", index,
                          combine(step.op), value);
  }
}

// Codes to the levels' integers, with a look at each.
std::string codes_of(const WeightQuantizer& quantizer) {
  const std::string code = text(quantizer.program.outputs[0].from);
  const float low = quantizer.levels.front(), high = quantizer.levels.back();
  const bool every_integer = static_cast<float>(quantizer.levels.size() - 1) == high - low &&
                             quantizer.integers.front() == static_cast<int>(low) &&
                             quantizer.integers.back() == static_cast<int>(high) &&
                             makes_whole_codes(quantizer.program, low, high);
  std::string made;
  if (every_integer) {
    made = fmt::format(
        "    float sum_of_codes = 0.0f;\n    unsigned integer[COUNT];\n    EACH {{\n"
        "      const float code = {};\n      sum_of_codes += code;\n"
        "      integer[i] = byte_of(code);\n    }}\n"
        "    if (sum_of_codes != sum_of_codes) *a.refused = 1;\n",
        code);
  } else {
    made = fmt::format(
        "    unsigned integer[COUNT];\n    bool good = true;\n    EACH {{\n      const float code "
        "= {};\n"
        "      int found = 999;\n",
        code);
    for (size_t l = 0; l < quantizer.levels.size(); ++l)
      made += fmt::format("      if (fabsf(code - {}) <= 1e-6f) found = {};\n",
                          number(quantizer.levels[l]), quantizer.integers[l]);
    made +=
        "      good = good && found != 999;\n      integer[i] = (unsigned)found & 0xffu;\n    }\n"
        "    if (!good) *a.refused = 1;\n";
  }
  return made + R"cuda(
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
      if (!WHOLE && !mine[v]) continue;
      unsigned word[2] = {0u, 0u};
#pragma unroll
      for (int i = 0; i < 8; ++i) word[i / 4] |= integer[8 * v + i] << (8 * (i % 4));
      a.codes[row * (K / 8) + threadIdx.x + v * THREADS] = make_uint2(word[0], word[1]);
    }
)cuda";
}

void add_globals(const RowProgram& program, std::string& source) {
  for (int g = 0; g < program.globals; ++g)
    source += fmt::format("  float g{0} = a.globals[{0}];\n", g);
}

void add_walk(const WeightQuantizer& quantizer, size_t p, std::string& source) {
  const RowProgram& program = quantizer.program;
  const Phase& phase = program.phases[p];
  const RowKernelShape shape = row_kernel_shape(quantizer.columns);
  const int64_t rooms = std::max<int64_t>(row_reductions(phase), 1), all = all_reductions(phase);
  source += fmt::format(R"cuda(
extern "C" __global__ void __launch_bounds__({1}) {0}(const Arguments a) {{
  __shared__ float room[{2}][WARPS];
)cuda",
                        walk_name(p), shape.threads * shape.rows, rooms);
  add_globals(program, source);
  int index = 0;
  for (const Instruction& step : phase.steps)
    if (is_all_reduction(step.op))
      source += fmt::format("  double all{} = {};\n", index++, identity(step.op));
  source += fmt::format(R"cuda(
  for (long long row = (long long)blockIdx.x * {0} + threadIdx.y; row < a.rows;
       row += (long long)gridDim.x * {0}) {{
    bool mine[VECTORS];
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) mine[v] = WHOLE || (threadIdx.x + v * THREADS) * 8 < K;
    float x[COUNT];
    load(a.w + row * K, mine, x);
)cuda",
                        shape.rows);
  add_inputs(program, phase, source);
  int room = 0;
  index = 0;
  for (const Instruction& step : phase.steps) {
    if (is_all_reduction(step.op))
      add_all_reduction(step, index++, source);
    else
      add_step(step, room, source);
  }
  const auto leaves = [&](const Output& output, Output::Shape shape_of) {
    return output.shape == shape_of && output.phase == static_cast<int>(p);
  };
  if (leaves(program.outputs[0], Output::kFullShape)) source += codes_of(quantizer);
  if (leaves(program.outputs[1], Output::kRowShape))
    source +=
        fmt::format("    if (threadIdx.x == 0) a.scale[row] = stored_scale({}, {}, a.refused);\n",
                    text(program.outputs[1].from), quantizer.half_scale);
  source += "    if (WARPS > 1) __syncthreads();  // the next row uses the same room\n  }\n";
  if (all > 0) {
    source += fmt::format("  __shared__ double gathered[{}];\n", shape.threads * shape.rows);
    source += "  const int thread = threadIdx.y * THREADS + threadIdx.x;\n";
    index = 0;
    for (const Instruction& step : phase.steps) {
      if (!is_all_reduction(step.op)) continue;
      source += fmt::format(R"cuda(
  gathered[thread] = all{0};
  __syncthreads();
  if (thread == 0) {{
    double whole = gathered[0];
    for (int t = 1; t < {1}; ++t) whole = {2}(whole, gathered[t]);
    a.parts[blockIdx.x * {3} + {0}] = whole;
  }}
  __syncthreads();
)cuda",
                            index++, shape.threads * shape.rows, combine(step.op), all);
    }
  }
  source += "}\n";
}

// The walk before gave parts; then the steps on single numbers that stand before walk p, or at the
// end.
void add_between(const WeightQuantizer& quantizer, size_t p, std::string& source) {
  const RowProgram& program = quantizer.program;
  source += fmt::format(
      "extern \"C\" __global__ void {}(const Arguments a) {{\n  __shared__ double gathered[256];\n",
      between_name(p));
  if (p == 0) {
    for (int g = 0; g < program.globals; ++g)
      source += fmt::format("  float g{} = {};\n", g,
                            g < kMostOperands ? fmt::format("a.scalar[{}]", g) : "0.0f");
  } else {
    add_globals(program, source);
    const int64_t all = all_reductions(program.phases[p - 1]);
    int index = 0;
    for (const Instruction& step : program.phases[p - 1].steps) {
      if (!is_all_reduction(step.op)) continue;
      source += fmt::format(R"cuda(
  {{
    double part = {3};
    for (int b = threadIdx.x; b < a.blocks; b += 256) part = {2}(part, a.parts[b * {1} + {0}]);
    gathered[threadIdx.x] = part;
    __syncthreads();
    if (threadIdx.x == 0) {{
      for (int t = 1; t < 256; ++t) part = {2}(part, gathered[t]);
      g{4} = (float)part;
    }}
    __syncthreads();
  }}
)cuda",
                            index++, all, combine(step.op), identity(step.op), step.out.index);
    }
  }
  source += "  if (threadIdx.x != 0) return;\n";
  if (p < program.phases.size()) {
    add_scalars(program.phases[p].scalars, source);
  } else {
    add_scalars(program.finally, source);
    if (program.outputs[1].shape == Output::kScalarShape)
      source += fmt::format("  a.scale[0] = stored_scale({}, {}, a.refused);\n",
                            text(program.outputs[1].from), quantizer.half_scale);
  }
  for (int g = 0; g < program.globals; ++g) source += fmt::format("  a.globals[{0}] = g{0};\n", g);
  source += "}\n";
}

}  // namespace

std::string walk_name(size_t phase) { return fmt::format("walk_{}", phase); }
std::string between_name(size_t phase) { return fmt::format("between_{}", phase); }

int64_t all_reductions(const Phase& phase) {
  return std::ranges::count_if(phase.steps,
                               [](const Instruction& step) { return is_all_reduction(step.op); });
}

bool weight_kernels_support(const WeightQuantizer& quantizer, std::string& why) {
  const RowProgram& program = quantizer.program;
  if (quantizer.columns % 8 != 0 || quantizer.columns > 8192) {
    why = fmt::format("rows of {} numbers are not a multiple of 8 up to 8192", quantizer.columns);
    return false;
  }
  if (program.outputs.size() != 2 || program.column_outputs > 0 ||
      program.outputs[0].shape != Output::kFullShape || quantizer.levels.empty() ||
      program.globals > kMostGlobals) {
    why = "it returns more than codes and a scale";
    return false;
  }
  return std::ranges::all_of(program.phases,
                             [&](const Phase& phase) { return can_write(program, phase, why); });
}

std::string weight_kernel_source(const WeightQuantizer& quantizer) {
  std::string source = prelude(quantizer.columns) + kArguments;
  const size_t phases = quantizer.program.phases.size();
  for (size_t p = 0; p < phases; ++p) {
    add_between(quantizer, p, source);
    add_walk(quantizer, p, source);
  }
  add_between(quantizer, phases, source);
  return source;
}

}  // namespace bitloop::cuda
