#include "trainer/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "harness/base/fd.h"

namespace bitloop::trainer {

using nlohmann::json;

Status write_safetensors(int fd, const NamedTensors& tensors) {
  json header = json::object();
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const int64_t bytes = tensor.numel() * 4;
    header[name] = {{"dtype", "F32"},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start aligned
  const uint64_t length = text.size();
  BITLOOP_TRY(
      write_all(fd, std::string_view(reinterpret_cast<const char*>(&length), sizeof length)));
  BITLOOP_TRY(write_all(fd, text));
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor data = tensor.detach().to(at::kFloat).contiguous();
    BITLOOP_TRY(write_all(fd, std::string_view(static_cast<const char*>(data.const_data_ptr()),
                                               static_cast<size_t>(data.numel()) * 4)));
  }
  if (::fsync(fd) != 0) return std::unexpected(errno_error("weights", errno));
  return {};
}

Status read_safetensors(int fd, const NamedTensors& tensors) {
  BITLOOP_ASSIGN(file, read_all(fd, size_t{1} << 40));
  uint64_t length = 0;
  if (file.size() < sizeof length) return fail("bad_weights", "the weights file is cut short");
  std::memcpy(&length, file.data(), sizeof length);
  if (length > file.size() - sizeof length)
    return fail("bad_weights", "the weights file is cut short");
  const json header = json::parse(file.substr(sizeof length, length), nullptr, false);
  if (!header.is_object()) return fail("bad_weights", "the weights file's header is not JSON");
  const std::string_view body = std::string_view(file).substr(sizeof length + length);
  for (const auto& [name, tensor] : tensors) {
    const auto entry = header.find(name);
    if (entry == header.end())
      return fail("bad_weights", fmt::format("{} is not in the weights file", name));
    if (entry->value("dtype", "") != "F32" ||
        entry->value("shape", std::vector<int64_t>()) != tensor.sizes().vec())
      return fail("bad_weights",
                  fmt::format("{} has another shape or type in the weights file", name));
    const auto offsets = entry->value("data_offsets", std::vector<uint64_t>());
    const auto bytes = static_cast<uint64_t>(tensor.numel()) * 4;
    if (offsets.size() != 2 || offsets[1] > body.size() || offsets[0] > offsets[1] ||
        offsets[1] - offsets[0] != bytes)
      return fail("bad_weights", fmt::format("{} lies outside the weights file", name));
    std::memcpy(tensor.data_ptr(), body.data() + offsets[0], bytes);
  }
  return {};
}

}  // namespace bitloop::trainer
