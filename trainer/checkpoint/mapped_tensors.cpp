#include "trainer/checkpoint/mapped_tensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "harness/base/fd.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeader = uint64_t{100} << 20;  // the format's own limit

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

struct Type {
  const char* name;
  at::ScalarType type;
  uint64_t bytes;
};
constexpr Type kTypes[] = {
    {"F32", at::kFloat, 4}, {"F16", at::kHalf, 2}, {"BF16", at::kBFloat16, 2}};

const Type* find_type(const std::string& name) {
  for (const Type& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

// A list of sizes; nothing where one is no whole number that T holds (the library's own conversion
// of a fraction, or of what is too large, has no defined result).
template <typename T>
std::optional<std::vector<T>> sizes_of(const json& list) {
  if (!list.is_array()) return std::nullopt;
  std::vector<T> sizes;
  for (const json& size : list) {
    if (!size.is_number_unsigned() || !std::in_range<T>(size.get<uint64_t>())) return std::nullopt;
    sizes.push_back(size.get<T>());
  }
  return sizes;
}

}  // namespace

MappedFile::~MappedFile() {
  if (address_ != nullptr) ::munmap(address_, size_);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::map(int fd) {
  const off_t end = ::lseek(fd, 0, SEEK_END);
  if (end < 0) return std::unexpected(errno_error("can't be read", errno));
  std::shared_ptr<MappedFile> file(new MappedFile);
  if (end == 0) return file;  // there is nothing to map
  void* mapped = ::mmap(nullptr, static_cast<size_t>(end), PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return std::unexpected(errno_error("can't be mapped", errno));
  file->address_ = static_cast<char*>(mapped);
  file->size_ = static_cast<uint64_t>(end);
  return file;
}

Result<MappedTensors> MappedTensors::parse(std::shared_ptr<const MappedFile> file) {
  uint64_t length = 0;
  if (file->size() < sizeof length) return bad("is cut short");
  std::memcpy(&length, file->data(), sizeof length);
  if (length > kMaxHeader || length > file->size() - sizeof length)
    return bad("is no safetensors file, or cut short");
  const json header = json::parse(std::string_view(file->data() + sizeof length, length), nullptr,
                                  /*allow_exceptions=*/false);
  if (!header.is_object()) return bad("is no safetensors file: its header is not JSON");
  const uint64_t data = sizeof length + length, bytes = file->size() - data;

  MappedTensors tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (value.is_object())
        for (const auto& [key, text] : value.items())
          if (text.is_string()) tensors.metadata_[key] = text.get<std::string>();
      continue;
    }
    try {
      Entry entry;
      value.at("dtype").get_to(entry.type);
      auto shape = sizes_of<int64_t>(value.at("shape"));
      const auto offsets = sizes_of<uint64_t>(value.at("data_offsets"));
      if (!shape || !offsets) return bad(fmt::format("has a wrong header entry for '{}'", name));
      if (offsets->size() != 2 || (*offsets)[0] > (*offsets)[1] || (*offsets)[1] > bytes)
        return bad(fmt::format("is cut short: '{}' lies beyond its end", name));
      entry.shape = std::move(*shape);
      entry.begin = data + (*offsets)[0];
      entry.end = data + (*offsets)[1];
      entry.file = file;
      tensors.entries_[name] = std::move(entry);
    } catch (const json::exception&) {
      return bad(fmt::format("has a wrong header entry for '{}'", name));
    }
  }
  // As in the format's reference implementation: every byte belongs to one tensor.
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (const auto& [name, entry] : tensors.entries_) places.emplace_back(entry.begin, entry.end);
  std::ranges::sort(places);
  uint64_t end = data;
  for (const auto& [begin, place_end] : places) {
    if (begin != end) return bad("has tensors that overlap, or bytes that belong to none");
    end = place_end;
  }
  if (end != file->size()) return bad("has tensors that overlap, or bytes that belong to none");
  tensors.header_ = std::string_view(file->data() + sizeof length, length);
  tensors.file_ = std::move(file);
  return tensors;
}

std::span<const uint8_t> MappedTensors::bytes(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return {};
  const Entry& entry = found->second;
  return {reinterpret_cast<const uint8_t*>(entry.file->data()) + entry.begin,
          entry.end - entry.begin};
}

std::vector<int64_t> MappedTensors::shape(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? std::vector<int64_t>() : found->second.shape;
}

std::vector<std::string> MappedTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

Status MappedTensors::add(MappedTensors other) {
  if (file_ == nullptr) {
    *this = std::move(other);
    return {};
  }
  for (auto& [name, entry] : other.entries_)
    if (!entries_.try_emplace(name, std::move(entry)).second)
      return bad(fmt::format("has '{}', which another file of the model has, too", name));
  return {};
}

Result<at::Tensor> MappedTensors::get(const std::string& name) const {
  BITLOOP_ASSIGN(stored, view(name));
  return stored.to(at::kFloat);
}

Result<at::Tensor> MappedTensors::view(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return bad(fmt::format("has no tensor '{}'", name));
  const Entry& entry = found->second;
  const Type* type = find_type(entry.type);
  if (type == nullptr)
    return bad(fmt::format("holds '{}' as {}, which is not read: F32, F16 and BF16 are", name,
                           entry.type));
  uint64_t count = 1;
  for (const int64_t size : entry.shape) {
    if (size < 0 || __builtin_mul_overflow(count, static_cast<uint64_t>(size), &count))
      return bad(fmt::format("has a wrong header entry for '{}'", name));
  }
  if (count > (entry.end - entry.begin) / type->bytes ||
      count * type->bytes != entry.end - entry.begin)
    return bad(fmt::format("has another number of bytes for '{}' than its shape says", name));
  char* const at = entry.file->data() + entry.begin;
  const auto options = at::TensorOptions(type->type);
  if (reinterpret_cast<uintptr_t>(at) % type->bytes == 0)
    return at::from_blob(
        at, entry.shape, [file = entry.file](void*) {}, options);
  at::Tensor copy = at::empty(entry.shape, options);
  if (count > 0) std::memcpy(copy.data_ptr(), at, count * type->bytes);
  return copy;
}

}  // namespace bitloop::trainer
