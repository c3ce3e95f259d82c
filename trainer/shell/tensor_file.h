// What --tensor names: a .npy file, or one tensor or all tensors of a .safetensors file. Only the
// open descriptor is used. The files are not trusted.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "trainer/checkpoint/safetensors.h"

namespace bitloop::trainer::shell {

struct TensorFile {
  at::Tensor tensor;   // of a .npy file, or the one asked for; else undefined
  NamedTensors named;  // all of a safetensors file, in its header's order
};

// `wanted` names a tensor of a safetensors file; "" is all of them. Tensors become float32, 1 GiB
// at most. Errors "bad_tensor" and those of reading; the message is a sentence without the file's
// name.
Result<TensorFile> read_tensor_file(int fd, std::string_view wanted);

}  // namespace bitloop::trainer::shell
