// Row programs (trainer/kernels/row_program.h) as CUDA source: what kernels over activations
// (row_source.h) and over weights (weight_source.h) have in common.
#pragma once

#include <span>
#include <string>

#include "trainer/kernels/device_kernels.h"

namespace bitloop::cuda {

constexpr int kMostOperands = kernels::kMostInputs;  // row, column and scalar inputs, each

// How a block is made: `threads` threads a row, each with `vectors` times eight of its numbers, and
// `rows` rows.
struct RowKernelShape {
  int threads = 0, vectors = 0, rows = 0;
};
RowKernelShape row_kernel_shape(int64_t K);
// Definitions of K and the shape, and the functions that all steps use.
std::string prelude(int64_t K);

std::string number(float value);
// An operand as the text of a float; tiles at element i.
std::string text(const kernels::Operand& operand);
std::string expression(const kernels::Instruction& step);
bool is_row_reduction(kernels::RowOp op);
int64_t row_reductions(const kernels::Phase& phase);
// Whether the codes (output 0) end as whole numbers in [low, high], or as NaN.
bool makes_whole_codes(const kernels::RowProgram& program, float low, float high);
// Whether each step of this phase can be written; `why` says what is in the way.
bool can_write(const kernels::RowProgram& program, const kernels::Phase& phase, std::string& why);

// Declarations of what the steps of a phase write, and of the columns that they read.
void add_inputs(const kernels::RowProgram& program, const kernels::Phase& phase,
                std::string& source);
void add_scalars(std::span<const kernels::Instruction> steps, std::string& source);
// Reductions use rooms of shared memory, from `room` on.
void add_step(const kernels::Instruction& step, int& room, std::string& source);

}  // namespace bitloop::cuda
