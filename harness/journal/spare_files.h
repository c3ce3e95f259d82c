// Files made in advance. Of all that an event does on disk, making five files can be the dearest:
// ext4 without a journal, for one, looks at every inode that was deleted in the last minutes before
// it takes one, with the folder locked. So a thread keeps some files that have no name yet
// (O_TMPFILE), and an event fills and names them, which costs as good as nothing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "harness/base/fd.h"

namespace bitloop::journal {

// An empty file without a name; where the file system can't have such, with a temporary one.
// Destroyed without a name it is gone.
class NewFile {
 public:
  // In the file system of `folder`. Errors: "io_error", "disk_full".
  static Result<NewFile> make(const std::filesystem::path& folder);
  // The same with a temporary name there.
  static Result<NewFile> make_temporary(const std::filesystem::path& folder);
  ~NewFile();
  NewFile(NewFile&& other) noexcept
      : fd_(std::move(other.fd_)), temporary_(std::exchange(other.temporary_, {})) {}
  NewFile& operator=(NewFile&&) = delete;

  int fd() const { return fd_.get(); }
  // Gives it this name and hands over the descriptor; waits for no disk. Errors: "exists"
  // (something has that name), "file_not_found" (no such folder), "io_error", "disk_full".
  Result<UniqueFd> name(const std::filesystem::path& path);

 private:
  NewFile(UniqueFd fd, std::filesystem::path temporary)
      : fd_(std::move(fd)), temporary_(std::move(temporary)) {}

  UniqueFd fd_;
  std::filesystem::path temporary_;  // empty: it has no name
};

// Thread-safe.
class SpareFiles {
 public:
  // Keeps up to `count` of them, from the first time that one is taken on.
  SpareFiles(std::filesystem::path folder, size_t count)
      : folder_(std::move(folder)), count_(count) {
    ready_.reserve(count_);
  }
  ~SpareFiles();

  // One that was made before, or else a new one. Errors: those of NewFile::make.
  Result<NewFile> take();

 private:
  void start();  // Requires: locked
  void work();

  const std::filesystem::path folder_;
  const size_t count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<NewFile> ready_;
  bool wanted_ = false;  // some were taken since the worker last looked
  bool stopping_ = false;
  std::thread worker_;  // from the first take() on
};

}  // namespace bitloop::journal
