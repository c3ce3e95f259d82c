// What LibTorch threw, as a status.
#pragma once

#include <c10/util/Exception.h>

#include "harness/base/result.h"

namespace bitloop::trainer {

// "out_of_memory", or "script_error" with LibTorch's own words.
Error failure_of(const c10::Error& error);

}  // namespace bitloop::trainer
