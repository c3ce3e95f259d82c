// The source of row kernels, where no GPU runs it: what it says of each step, and what it refuses.
#include "trainer/cuda/row_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitloop::cuda {
namespace {

using kernels::Place;
using kernels::RowOp;
using testing::HasSubstr;
using testing::Not;

// Absmax int8: codes = clamp(round(x · r1), low, high), scale = r0.
kernels::RowQuantizer absmax() {
  kernels::RowQuantizer quantizer;
  quantizer.K = 1024;
  kernels::RowProgram& program = quantizer.program;
  program.tiles = 1, program.rows = 2;
  program.phases.resize(1);
  const kernels::Operand x{Place::kFull, 0}, largest{Place::kRow, 0}, inverse{Place::kRow, 1};
  program.phases[0].steps = {{RowOp::kRowAbsMaximum, x, {}, {}, largest},
                             {RowOp::kReciprocal, largest, {}, {}, inverse},
                             {RowOp::kScaleRound, x, inverse, {}, {Place::kTile, 0}, -128, 127}};
  program.outputs = {{{Place::kTile, 0}, kernels::Output::kFullShape},
                     {{Place::kRow, 0}, kernels::Output::kRowShape}};
  return quantizer;
}

TEST(RowSource, MakesRowsRunsTheProgramAndStoresCodes) {
  const kernels::RowQuantizer quantizer = absmax();
  const std::string source = row_kernel_source(kernels::RowsIn::kLayerNorm, &quantizer, 1024);
  EXPECT_THAT(
      source,
      HasSubstr("#define K 1024\n#define THREADS 32\n#define WARPS 1\n#define VECTORS 4\n"));
  EXPECT_THAT(source, HasSubstr("__launch_bounds__(128) quantize_rows"));
  EXPECT_THAT(source, HasSubstr("room[3][1]"));  // two of the norm, one of the maximum
  EXPECT_THAT(source, HasSubstr("Largest::both(v, fabsf(x[i]))"));
  EXPECT_THAT(source, HasSubstr("scale_round(x[i], r1"));
  EXPECT_THAT(source, HasSubstr("scale = round_half(scale)"));
  EXPECT_EQ(source, row_kernel_source(kernels::RowsIn::kLayerNorm, &quantizer, 1024));
}

TEST(RowSource, WithoutAProgramRowsAreOnlyRounded) {
  const std::string source = row_kernel_source(kernels::RowsIn::kGelu, nullptr, 4096);
  EXPECT_THAT(source, HasSubstr("__expf"));
  EXPECT_THAT(source, Not(HasSubstr("a.codes[")));
}

TEST(RowSource, RefusesWhatLooksBeyondARow) {
  std::string why;
  kernels::RowQuantizer quantizer = absmax();
  EXPECT_TRUE(row_kernel_supports(&quantizer.program, 1024, why));
  EXPECT_FALSE(row_kernel_supports(&quantizer.program, 1021, why));
  EXPECT_FALSE(row_kernel_supports(&quantizer.program, 16384, why));
  quantizer.program.phases[0].steps[0].op = RowOp::kAllMaximum;
  EXPECT_FALSE(row_kernel_supports(&quantizer.program, 1024, why));
  EXPECT_THAT(why, HasSubstr("beyond single rows"));
  quantizer = absmax();
  quantizer.program.phases.resize(2);
  EXPECT_FALSE(row_kernel_supports(&quantizer.program, 1024, why));
}

}  // namespace
}  // namespace bitloop::cuda
