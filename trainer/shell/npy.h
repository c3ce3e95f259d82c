// NumPy's .npy files, versions 1 to 3: six bytes of magic, the version, the header's length, a
// header that is a Python dict literal, the numbers. The files come from anywhere: whatever does
// not fit is refused.
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

#include "harness/base/result.h"

namespace bitloop::trainer::shell {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

// The array as a float32 tensor of its own (C or Fortran order in the file; float16, float32,
// float64, integers up to int64 and bool, little-endian). Error "bad_tensor": what is wrong with
// the file and how NumPy would write it right, as a sentence without its name.
Result<at::Tensor> read_npy(std::string_view file);

}  // namespace bitloop::trainer::shell
