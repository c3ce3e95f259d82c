#include "harness/base/fd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bitloop {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Error errno_error(std::string_view what, int error_number) {
  std::string code = "io_error";
  if (error_number == ENOENT) code = "file_not_found";
  if (error_number == ENOSPC || error_number == EDQUOT) code = "disk_full";
  return Error{code, fmt::format("{}: {}", what, std::strerror(error_number))};
}

Result<UniqueFd> open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return std::unexpected(errno_error(path.string(), errno));
  return UniqueFd(fd);
}

Result<UniqueFd> open_regular(const std::filesystem::path& path) {
  BITLOOP_ASSIGN(fd, open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return fail("wrong_usage", path.string() + " is not a file");
  return fd;
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe2", errno));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Status write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return std::unexpected(errno_error("write", errno));
    }
    data.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<std::string> read_all(int fd, size_t max_bytes) {
  std::string data;
  char buffer[65536];
  while (true) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0) {
      if (errno == EINTR) continue;
      return std::unexpected(errno_error("read", errno));
    }
    if (count == 0) return data;
    data.append(buffer, static_cast<size_t>(count));
    if (data.size() > max_bytes)
      return fail("too_large", fmt::format("more than {} bytes to read", max_bytes));
  }
}

Result<std::string> read_file(const std::filesystem::path& path, size_t max_bytes) {
  BITLOOP_ASSIGN(fd, open_file(path, O_RDONLY));
  auto data = read_all(fd.get(), max_bytes);
  if (!data)
    return fail(data.error().code, fmt::format("{}: {}", path.string(), data.error().message));
  return data;
}

Status sync_folder(const std::filesystem::path& folder) {
  BITLOOP_ASSIGN(fd, open_file(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return std::unexpected(errno_error(folder.string(), errno));
  return {};
}

namespace {

Status replace(const std::filesystem::path& path, std::string_view data, bool durable,
               unsigned mode = 0644) {
  const std::filesystem::path temporary = path.string() + fmt::format(".tmp-{}", ::getpid());
  auto written = [&]() -> Status {
    BITLOOP_ASSIGN(fd, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
    BITLOOP_TRY(write_all(fd.get(), data));
    if (durable && ::fsync(fd.get()) != 0)
      return std::unexpected(errno_error(temporary.string(), errno));
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      return std::unexpected(errno_error(path.string(), errno));
    return durable ? sync_folder(path.parent_path()) : Status();
  }();
  if (!written) ::unlink(temporary.c_str());
  return written;
}

}  // namespace

Status write_file_atomic(const std::filesystem::path& path, std::string_view data) {
  return replace(path, data, true);
}

Status write_secret_atomic(const std::filesystem::path& path, std::string_view data) {
  return replace(path, data, true, 0600);
}

Status replace_file(const std::filesystem::path& path, std::string_view data) {
  return replace(path, data, false);
}

}  // namespace bitloop
