// Writes weights in the safetensors format (Hugging Face): 8 bytes little-endian header length, a
// JSON header with dtype, shape and offsets of each tensor, then their bytes. mapped_tensors.h
// reads them.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::trainer {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Writes to an open descriptor at its position, and fsyncs. Tensors of float32, float16, bfloat16
// and bytes.
Status write_safetensors(int fd, const NamedTensors& tensors);
// The two parts of it: the header's text, a multiple of 8 long, and the file with this header.
std::string safetensors_header(const NamedTensors& tensors,
                               const std::map<std::string, std::string>& metadata);
Status write_safetensors(int fd, const std::string& header, const NamedTensors& tensors);
}  // namespace bitloop::trainer
