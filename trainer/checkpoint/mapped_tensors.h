// A safetensors file as it lies on disk: mapped, so that a tensor of float32 costs nothing until it
// is read. Files are not trusted.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::trainer {

// The bytes of a file. Apart from what they mean, because a jail lets no file be mapped once it is
// closed, and files are not looked at before.
class MappedFile {
 public:
  // The descriptor may be closed afterwards.
  static Result<std::shared_ptr<const MappedFile>> map(int fd);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  char* data() const { return address_; }  // read-only memory
  uint64_t size() const { return size_; }

 private:
  MappedFile() = default;
  char* address_ = nullptr;
  uint64_t size_ = 0;
};

class MappedTensors {
 public:
  // Error "bad_weights": a sentence without the file's name.
  static Result<MappedTensors> parse(std::shared_ptr<const MappedFile> file);

  // Takes over the tensors of another file of the same model. Error "bad_weights": a name that both
  // have.
  Status add(MappedTensors other);

  bool has(const std::string& name) const { return entries_.contains(name); }
  // Float32, read-only: of an F32 tensor a view of the file, of F16 and BF16 a copy. Error
  // "bad_weights" for a name that is not there and for other types.
  Result<at::Tensor> get(const std::string& name) const;
  // As it is stored, F32, F16 or BF16, read-only: a view of the file where its numbers lie as their
  // type wants it, else a copy. Errors as above.
  Result<at::Tensor> view(const std::string& name) const;
  // The bytes of a tensor of any type, and its shape; both empty where there is none.
  std::span<const uint8_t> bytes(const std::string& name) const;
  std::vector<int64_t> shape(const std::string& name) const;
  std::vector<std::string> names() const;  // sorted
  // Of the first file: its metadata, and the header's text as it stands there.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::string_view header() const { return header_; }

 private:
  struct Entry {
    std::string type;
    std::vector<int64_t> shape;
    uint64_t begin = 0, end = 0;
    std::shared_ptr<const MappedFile> file;  // shared: tensors are views of it
  };
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
  std::shared_ptr<const MappedFile> file_;  // shared: header_ is a view of it
  std::string_view header_;
};

}  // namespace bitloop::trainer
