#include "trainer/shell/tensor_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "harness/base/fd.h"
#include "lua/runtime/lua_api.h"
#include "trainer/shell/element_types.h"
#include "trainer/shell/npy.h"

namespace bitloop::trainer::shell {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxHeader = uint64_t{32} << 20;

std::unexpected<Error> bad(std::string message) { return fail("bad_tensor", std::move(message)); }

Status read_at(int fd, uint64_t offset, void* into, uint64_t bytes) {
  auto* place = static_cast<char*>(into);
  while (bytes > 0) {
    const ssize_t count = ::pread(fd, place, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(errno_error("can't be read", errno));
    if (count == 0) return bad("was cut short while it was read");
    place += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return {};
}

std::unexpected<Error> too_large() {
  return bad(fmt::format("holds more than the {} MiB of float32 numbers that are read",
                         kMaxTensorBytes >> 20));
}

// One entry of a safetensors header.
struct Entry {
  const ElementType* type = nullptr;
  std::vector<int64_t> shape;
  uint64_t begin = 0, bytes = 0, count = 0;
};

std::optional<uint64_t> whole(const Json& value) {
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<int64_t>() < 0))
    return std::nullopt;
  return value.get<uint64_t>();
}

Result<Entry> read_entry(const std::string& name, const Json& value, uint64_t data_bytes) {
  Entry entry;
  const auto wrong = [&] { return bad(fmt::format("has a wrong header entry for '{}'", name)); };
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets"))
    return wrong();
  const Json &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  if (!dtype.is_string() || !shape.is_array() || shape.size() > 16 || !offsets.is_array() ||
      offsets.size() != 2)
    return wrong();
  for (const ElementType& type : kElementTypes)
    if (type.safetensors == dtype.get<std::string>()) entry.type = &type;
  if (entry.type == nullptr)
    return bad(fmt::format("holds '{}' as {}, which is not read: convert it to F32", name,
                           dtype.get<std::string>().substr(0, 20)));
  for (const Json& size : shape) {
    const auto number = whole(size);
    if (!number || *number > uint64_t{INT64_MAX}) return wrong();
    entry.shape.push_back(static_cast<int64_t>(*number));
  }
  const auto count = count_of(entry.shape);
  if (!count) return too_large();
  entry.count = *count;
  entry.bytes = *count * entry.type->bytes;
  const auto begin = whole(offsets[0]), end = whole(offsets[1]);
  if (!begin || !end || *begin > *end || *end > data_bytes || *end - *begin != entry.bytes)
    return bad(fmt::format("says that '{}' lies where it can't", name));
  entry.begin = *begin;
  return entry;
}

Result<at::Tensor> read_numbers(int fd, uint64_t data_start, const Entry& entry) {
  at::Tensor raw = at::empty(entry.shape, at::TensorOptions(entry.type->type));
  BITLOOP_TRY(read_at(fd, data_start + entry.begin, raw.data_ptr(), entry.bytes));
  return raw.to(at::kFloat);
}

Result<TensorFile> read_safetensors_file(int fd, uint64_t file_bytes, std::string_view wanted) {
  uint64_t length = 0;
  BITLOOP_TRY(read_at(fd, 0, &length, sizeof length));
  if (length > kMaxHeader || length > file_bytes - sizeof length)
    return bad("is neither a .npy nor a .safetensors file");
  std::string text(length, '\0');
  BITLOOP_TRY(read_at(fd, sizeof length, text.data(), length));
  const Json header = Json::parse(text, nullptr, false);
  if (!header.is_object()) return bad("is neither a .npy nor a .safetensors file");
  const uint64_t data_start = sizeof length + length;

  TensorFile result;
  std::vector<std::string_view> names;
  uint64_t total = 0;
  bool found = false;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    names.push_back(name);
    if (!wanted.empty() && name != wanted) continue;
    found = true;
    BITLOOP_ASSIGN(entry, read_entry(name, value, file_bytes - data_start));
    total += entry.count * 4;
    if (total > kMaxTensorBytes) return too_large();
    BITLOOP_ASSIGN(tensor, read_numbers(fd, data_start, entry));
    if (wanted.empty())
      result.named.emplace_back(name, std::move(tensor));
    else
      result.tensor = std::move(tensor);
  }
  if (!wanted.empty() && !found) {
    const std::string near = lua::nearest(wanted, names);
    return bad(fmt::format("has no tensor '{}'{}", wanted,
                           near.empty() ? "" : fmt::format(", did you mean '{}'?", near)));
  }
  return result;
}

}  // namespace

Result<TensorFile> read_tensor_file(int fd, std::string_view wanted) {
  // Not fstat, which is among the calls that are refused by now.
  const off_t end = ::lseek(fd, 0, SEEK_END);
  if (end < 0) return std::unexpected(errno_error("can't be read", errno));
  const auto bytes = static_cast<uint64_t>(end);
  if (bytes < 8) return bad("is neither a .npy nor a .safetensors file");
  std::string start(kNpyMagic.size(), '\0');
  BITLOOP_TRY(read_at(fd, 0, start.data(), start.size()));
  if (start != kNpyMagic) return read_safetensors_file(fd, bytes, wanted);
  if (!wanted.empty()) return bad("is a .npy file, which holds one tensor without a name");
  if (bytes > 2 * kMaxTensorBytes + (1 << 20)) return too_large();  // as float64
  std::string file(bytes, '\0');
  BITLOOP_TRY(read_at(fd, 0, file.data(), bytes));
  TensorFile result;
  BITLOOP_ASSIGN(tensor, read_npy(file));
  result.tensor = std::move(tensor);
  return result;
}

}  // namespace bitloop::trainer::shell
