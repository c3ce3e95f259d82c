// A folder for one piece of work, which goes away with it: at the end of its scope or, when its
// process was killed, when another process looks for abandoned ones.
//
// Whether a folder has an owner is asked of the kernel: its process holds a lock (flock) on the
// folder itself for as long as it lives.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/result.h"

namespace bitloop {

class TemporaryFolder {
 public:
  // Makes <parent>/<prefix>XXXXXX (random letters, readable by this user alone), and the parent
  // where it is missing. Errors: "disk_full", "io_error", "file_not_found".
  static Result<TemporaryFolder> make(const std::filesystem::path& parent, std::string_view prefix);
  // Removes the folder and what is in it.
  ~TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept = default;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Removes the folders <parent>/<prefix>* of this user that no living process owns; one for which
  // `in_use` says true stays. What cannot be removed is left.
  static void remove_abandoned(
      const std::filesystem::path& parent, std::string_view prefix,
      const std::function<bool(const std::filesystem::path&)>& in_use = {});

 private:
  TemporaryFolder(std::filesystem::path path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  UniqueFd lock_;  // invalid once moved from
};

}  // namespace bitloop
