// Files on disk: what belongs together is written first, its writeback started, and only then
// waited for, so that the file system commits it in one go.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "harness/base/fd.h"
#include "harness/journal/spare_files.h"

namespace bitloop::journal {

// fsync of files and folders; names that do not exist are passed over. Errors: "io_error",
// "disk_full".
Status sync_together(const std::vector<std::filesystem::path>& paths);

// git's way to replace a small file: `name`.lock is made (which only one process can), filled and
// renamed to `name`. Removed again when destroyed without publish().
class LockedFile {
 public:
  // Errors: "locked" (the lock file is there), "io_error", "disk_full".
  static Result<LockedFile> take(std::filesystem::path path);
  // The same with a file that was made before, empty.
  static Result<LockedFile> take(std::filesystem::path path, NewFile file);
  ~LockedFile();
  LockedFile(LockedFile&&) = default;
  LockedFile& operator=(LockedFile&&) = delete;

  const std::filesystem::path& lock_path() const { return lock_path_; }
  // Appends to the lock file.
  Status write(std::string_view text);
  // Renames. Waits for no disk: who needs it there calls sync_together() before and sync_folder()
  // after.
  Status publish();

 private:
  LockedFile(std::filesystem::path path, std::filesystem::path lock_path, UniqueFd fd)
      : path_(std::move(path)), lock_path_(std::move(lock_path)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  std::filesystem::path lock_path_;
  UniqueFd fd_;  // no longer valid once published
};

}  // namespace bitloop::journal
