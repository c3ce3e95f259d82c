#include "harness/journal/durable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace bitloop::journal {

Status sync_together(const std::vector<std::filesystem::path>& paths,
                     const std::vector<int>& open_files, Flusher& flusher) {
  // Only a hint that spares waiting (folders refuse it): the promise is fsync's.
  const auto begin = [](int fd) {
    (void)::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return fd;
  };
  std::vector<UniqueFd> opened;
  std::vector<int> files;
  for (const int fd : open_files) files.push_back(begin(fd));
  for (const std::filesystem::path& path : paths) {
    auto fd = open_file(path, O_RDONLY);
    if (!fd && fd.error().code == "file_not_found") continue;
    if (!fd) return std::unexpected(fd.error());
    files.push_back(begin(fd->get()));
    opened.push_back(std::move(*fd));
  }
  return flusher.flush(files);
}

Status sync_together(const std::vector<std::filesystem::path>& paths) {
  Flusher alone(0);
  return sync_together(paths, {}, alone);
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
  // Opened before: once it is renamed nothing may be wanting but the disk.
  BITLOOP_ASSIGN(folder, open_file(path_.parent_path(), O_RDONLY | O_DIRECTORY));
  if (::rename(lock_path_.c_str(), path_.c_str()) != 0)
    return std::unexpected(errno_error(path_.string(), errno));
  fd_.reset();
  if (::fsync(folder.get()) != 0)
    return std::unexpected(errno_error(path_.parent_path().string(), errno));
  return {};
}

}  // namespace bitloop::journal
