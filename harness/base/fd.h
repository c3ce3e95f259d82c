// File descriptors and files: one owner a descriptor, whole-file reads, and writes that survive a
// crash.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop {

// Owns a file descriptor; closes it when destroyed.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// Translates errno: code "file_not_found" (ENOENT), "disk_full" (ENOSPC, EDQUOT) or "io_error"; the
// message names `what`.
Error errno_error(std::string_view what, int error_number);

// Opens with O_CLOEXEC.
Result<UniqueFd> open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);
// Opens a file for reading, and nothing else: a pipe without a writer must not block, a device not
// pour. Error "wrong_usage" for what is no regular file.
Result<UniqueFd> open_regular(const std::filesystem::path& path);
// Both ends O_CLOEXEC.
Result<Pipe> make_pipe();

// Writes all of `data`, going on after interruptions and short writes.
Status write_all(int fd, std::string_view data);
// Reads until end of file; more than `max_bytes` is an error ("too_large").
Result<std::string> read_all(int fd, size_t max_bytes = size_t{1} << 30);
Result<std::string> read_file(const std::filesystem::path& path,
                              size_t max_bytes = size_t{1} << 30);

// Replaces `path` by a file with content `data`: written beside it, fsynced, renamed, folder
// fsynced. After a crash the file has either the old content or the new one.
Status write_file_atomic(const std::filesystem::path& path, std::string_view data);
// The same for a file that its owner alone may read and write.
Status write_secret_atomic(const std::filesystem::path& path, std::string_view data);
// The same without the fsyncs: a reader finds the old content or the new one, a crash of the
// machine may lose it.
Status replace_file(const std::filesystem::path& path, std::string_view data);
// fsync of a folder, so that a rename or a new name in it is on disk.
Status sync_folder(const std::filesystem::path& folder);

}  // namespace bitloop
