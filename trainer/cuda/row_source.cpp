#include "trainer/cuda/row_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "trainer/cuda/program_source.h"
#include "trainer/kernels/codes.h"

namespace bitloop::cuda {
namespace {

using kernels::Instruction;
using kernels::RowOp;
using kernels::RowProgram;
using kernels::RowsIn;

constexpr const char* kArguments = R"cuda(
struct Arguments {
  const uint4* x;
  const float *weight, *bias;
  float *mean, *rstd;
  uint4* value;
  uint2* codes;
  float* scale;
  int* refused;
  const float* row[8];
  const float* column[8];
  float scalar[8];
  float epsilon;
  long long rows;
};
)cuda";

const char* make_rows(RowsIn::Kind kind) {
  switch (kind) {
    case RowsIn::kLayerNorm:
      return R"cuda(
  {
    float sum = 0.0f;
    EACH sum += x[i];
    const float mean = reduce<Sum>(sum, room[0]) * (1.0f / K);
    float squares = 0.0f;
    EACH {
      x[i] -= mean;
      squares = fmaf(x[i], x[i], squares);
    }
    const float rstd = rsqrtf(fmaf(reduce<Sum>(squares, room[1]), 1.0f / K, a.epsilon));
    if (threadIdx.x == 0) {
      a.mean[row] = mean;
      a.rstd[row] = rstd;
    }
    float w[COUNT], b[COUNT];
    load(a.weight, mine, w);
    load(a.bias, mine, b);
    EACH x[i] = fmaf(x[i] * rstd, w[i], b[i]);
  }
)cuda";
    case RowsIn::kGelu:
      // x / 2 (1 + tanh u) = x - x / (1 + e^2u)
      return R"cuda(
  EACH {
    const float twice_u = x[i] * fmaf(x[i] * x[i], 2 * 0.7978845608f * 0.044715f, 2 * 0.7978845608f);
    x[i] = x[i] - __fdividef(x[i], 1.0f + __expf(fminf(twice_u, 80.0f)));
  }
)cuda";
    default:
      return "";
  }
}

std::string store(const kernels::RowQuantizer& quantizer) {
  const RowProgram& program = quantizer.program;
  // What was clamped to whole bounds and rounded can be wrong in one way only: no number at all,
  // and then neither is the sum.
  const std::string check =
      makes_whole_codes(program, quantizer.low, quantizer.high)
          ? "float sum_of_codes = 0.0f;\n  EACH sum_of_codes += x[i];\n  good = good && "
            "sum_of_codes == sum_of_codes;"
          : fmt::format(R"cuda(EACH {{
    const float whole = rintf(x[i]);
    good = good && fabsf(x[i] - whole) <= {} && whole >= {} && whole <= {};
    x[i] = whole;
  }})cuda",
                        number(kernels::kSnap), number(quantizer.low), number(quantizer.high));
  return fmt::format(R"cuda(
  float scale = {1};
  if ({2}) scale = round_half(scale);
  bool good = fabsf(scale) < __uint_as_float(0x7f800000u);
  EACH x[i] = {0};
  {3}
  if (!good) *a.refused = 1;
  if (threadIdx.x == 0 && a.scale != nullptr) a.scale[row] = scale;
  if (a.codes != nullptr) {{
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {{
      if (!WHOLE && !mine[v]) continue;
      unsigned word[2] = {{0u, 0u}};
#pragma unroll
      for (int i = 0; i < 8; ++i)
        word[i / 4] |= byte_of(x[8 * v + i]) << (8 * (i % 4));
      a.codes[place + v * THREADS] = make_uint2(word[0], word[1]);
    }}
  }}
  EACH x[i] *= scale;
)cuda",
                     text(program.outputs[0].from), text(program.outputs[1].from),
                     quantizer.half_scale ? "true" : "false", check);
}

}  // namespace

bool row_kernel_supports(const RowProgram* program, int64_t K, std::string& why) {
  if (K % 8 != 0 || K > 8192) {
    why = fmt::format("rows of {} numbers are not a multiple of 8 up to 8192", K);
    return false;
  }
  if (program == nullptr) return true;
  if (program->phases.size() != 1 || program->outputs.size() != 2 || program->column_outputs > 0) {
    why = "the program needs more than one pass over its rows";
    return false;
  }
  const kernels::Phase& phase = program->phases.front();
  if (std::ranges::any_of(phase.steps,
                          [](const Instruction& step) { return step.op >= RowOp::kAllSum; })) {
    why = "the program looks beyond single rows";
    return false;
  }
  return can_write(*program, phase, why);
}

std::string row_kernel_source(RowsIn::Kind kind, const kernels::RowQuantizer* quantizer,
                              int64_t K) {
  const int first_room = kind == RowsIn::kLayerNorm ? 2 : 0;
  const int64_t rooms =
      first_room +
      (quantizer != nullptr ? row_reductions(quantizer->program.phases.front()) : int64_t{0});
  const RowKernelShape shape = row_kernel_shape(K);
  std::string source = prelude(K) + kArguments;
  source += fmt::format(R"cuda(
extern "C" __global__ void __launch_bounds__({1}) {0}(const Arguments a) {{
  __shared__ float room[{2}][{3}];
  const long long row = (long long)blockIdx.x * {4} + threadIdx.y;
  if (row >= a.rows) return;
  const long long place = row * (K / 8) + threadIdx.x;
  bool mine[VECTORS];
  uint4 bits[VECTORS];
#pragma unroll
  for (int v = 0; v < VECTORS; ++v) {{
    mine[v] = WHOLE || (threadIdx.x + v * THREADS) * 8 < K;
    bits[v] = mine[v] ? a.x[place + v * THREADS] : make_uint4(0u, 0u, 0u, 0u);
  }}
  float x[COUNT];
#pragma unroll
  for (int v = 0; v < VECTORS; ++v) {{
    const unsigned words[4] = {{bits[v].x, bits[v].y, bits[v].z, bits[v].w}};
#pragma unroll
    for (int i = 0; i < 4; ++i) {{
      x[8 * v + 2 * i] = low_half(words[i]);
      x[8 * v + 2 * i + 1] = high_half(words[i]);
    }}
  }}
)cuda",
                        kRowKernelName, shape.threads * shape.rows, std::max<int64_t>(rooms, 1),
                        shape.threads / 32, shape.rows);
  source += make_rows(kind);
  if (quantizer != nullptr) {
    const RowProgram& program = quantizer->program;
    const kernels::Phase& phase = program.phases.front();
    for (int g = 0; g < program.globals; ++g)
      source += fmt::format("  float g{} = {};\n", g,
                            g < kMostOperands ? fmt::format("a.scalar[{}]", g) : "0.0f");
    add_inputs(program, phase, source);
    add_scalars(phase.scalars, source);
    int room = first_room;
    for (const Instruction& step : phase.steps) add_step(step, room, source);
    add_scalars(program.finally, source);
    source += store(*quantizer);
  }
  source += R"cuda(
  if (a.value == nullptr) return;
#pragma unroll
  for (int v = 0; v < VECTORS; ++v) {
    if (!WHOLE && !mine[v]) continue;
    const float* y = x + 8 * v;
    a.value[place + v * THREADS] = make_uint4(round_pair(y[0], y[1]), round_pair(y[2], y[3]),
                                              round_pair(y[4], y[5]), round_pair(y[6], y[7]));
  }
}
)cuda";
  return source;
}

}  // namespace bitloop::cuda
