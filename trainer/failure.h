// What LibTorch or C++ threw, as a status.
#pragma once

#include <exception>

#include "harness/base/result.h"

namespace bitloop::trainer {

// "out_of_memory", "infrastructure" where the GPU failed, or "script_error" with the error's own
// words.
Error failure_of(const std::exception& error);

}  // namespace bitloop::trainer
