// A captured program as text.
#pragma once

#include <string>

#include "trainer/kernels/row_program.h"

namespace bitloop::lua {

// One line a step, for reports and tests.
std::string describe(const kernels::RowProgram& program);

}  // namespace bitloop::lua
