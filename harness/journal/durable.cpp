#include "harness/journal/durable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace bitloop::journal {

Status sync_together(const std::vector<std::filesystem::path>& paths) {
  std::vector<UniqueFd> files;
  for (const std::filesystem::path& path : paths) {
    auto file = open_file(path, O_RDONLY);
    if (!file && file.error().code == "file_not_found") continue;
    if (!file) return std::unexpected(file.error());
    // Only a hint that spares waiting (folders refuse it): the promise is fsync's.
    (void)::sync_file_range(file->get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    files.push_back(std::move(*file));
  }
  for (const UniqueFd& file : files)
    if (::fsync(file.get()) != 0)
      return std::unexpected(errno_error("fsync in the journal", errno));
  return {};
}

Result<LockedFile> LockedFile::take(std::filesystem::path path) {
  BITLOOP_ASSIGN(file, NewFile::make(path.parent_path()));
  return take(std::move(path), std::move(file));
}

Result<LockedFile> LockedFile::take(std::filesystem::path path, NewFile file) {
  const std::filesystem::path lock_path = path.string() + ".lock";
  auto fd = file.name(lock_path);
  if (!fd && fd.error().code == "exists")
    return fail("locked",
                fmt::format("{} exists: another process writes here", lock_path.string()));
  if (!fd) return std::unexpected(fd.error());
  return LockedFile(std::move(path), lock_path, std::move(*fd));
}

LockedFile::~LockedFile() {
  if (fd_.valid()) ::unlink(lock_path_.c_str());
}

Status LockedFile::write(std::string_view text) { return write_all(fd_.get(), text); }

Status LockedFile::publish() {
  if (::rename(lock_path_.c_str(), path_.c_str()) != 0)
    return std::unexpected(errno_error(path_.string(), errno));
  fd_.reset();
  return {};
}

}  // namespace bitloop::journal
