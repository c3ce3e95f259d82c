// A file of compiled kernels, private to a session: records of
//   magic (8 bytes) · SHA-256 of the key, of the image (64 digits each) · its length (8 bytes) ·
//   image
// one behind the other. It is opened before system calls are narrowed and the candidate is read,
// and written to afterwards. A record that is torn, damaged or foreign ends what is read of it; the
// next one is written over it.
//
// Whoever owned a trainer may have put anything into it, with a checksum that fits. So no file goes
// from one session to another, and a verification reads none (docs/security.md).
#pragma once

#include <map>
#include <memory>
#include <string>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "trainer/kernels/kernel_cache.h"

namespace bitloop::trainer {

inline constexpr const char* kKernelFile = "output/kernels.cache";
inline constexpr uint64_t kMostKernelBytes = uint64_t{64} << 20;  // of a file

class KernelFile : public kernels::KernelCache {
 public:
  // Opens or makes it, and reads what is whole. Errors: those of files.
  static Result<std::unique_ptr<KernelFile>> open(const std::string& path);

  std::optional<std::string> find(std::string_view key) override;
  void keep(std::string_view key, std::string_view image) override;
  size_t size() const { return images_.size(); }

 private:
  explicit KernelFile(UniqueFd file) : file_(std::move(file)) {}
  void take_records(std::string_view whole);

  UniqueFd file_;
  uint64_t end_ = 0;                           // of the last whole record
  std::map<std::string, std::string> images_;  // by the key's digest
};

}  // namespace bitloop::trainer
