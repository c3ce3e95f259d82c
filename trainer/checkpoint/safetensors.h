// Weights in the safetensors format (Hugging Face): 8 bytes little-endian header length, a JSON
// header with dtype, shape and offsets of each tensor, then their bytes. float32 only.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::trainer {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Writes to an open descriptor at its position, and fsyncs.
Status write_safetensors(int fd, const NamedTensors& tensors);
// Fills the tensors, which must be there with the same shapes. Errors: "bad_weights" with what
// differs.
Status read_safetensors(int fd, const NamedTensors& tensors);

}  // namespace bitloop::trainer
