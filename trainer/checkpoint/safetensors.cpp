#include "trainer/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "harness/base/fd.h"

namespace bitloop::trainer {

using nlohmann::json;

namespace {

const char* type_name(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kByte:
      return "U8";
    default:
      return "F32";
  }
}

}  // namespace

std::string safetensors_header(const NamedTensors& tensors,
                               const std::map<std::string, std::string>& metadata) {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t bytes = tensor.nbytes();
    header[name] = {{"dtype", type_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start aligned
  return text;
}

Status write_safetensors(int fd, const std::string& header, const NamedTensors& tensors) {
  const uint64_t length = header.size();
  BITLOOP_TRY(
      write_all(fd, std::string_view(reinterpret_cast<const char*>(&length), sizeof length)));
  BITLOOP_TRY(write_all(fd, header));
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor data = tensor.detach().cpu().contiguous();
    BITLOOP_TRY(write_all(
        fd, std::string_view(static_cast<const char*>(data.const_data_ptr()), data.nbytes())));
  }
  if (::fsync(fd) != 0) return std::unexpected(errno_error("weights", errno));
  return {};
}

Status write_safetensors(int fd, const NamedTensors& tensors) {
  return write_safetensors(fd, safetensors_header(tensors, {}), tensors);
}

}  // namespace bitloop::trainer
