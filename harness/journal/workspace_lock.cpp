#include "harness/journal/workspace_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "harness/base/text.h"

namespace bitloop::journal {

Result<WorkspaceLock> WorkspaceLock::acquire(const std::filesystem::path& workspace) {
  std::error_code error;
  std::filesystem::create_directories(workspace, error);
  if (error) return std::unexpected(errno_error(workspace.string(), error.value()));
  const std::filesystem::path file = workspace / ".lock";
  BITLOOP_ASSIGN(fd, open_file(file, O_RDWR | O_CREAT));
  int failed = 0;
  do {
    failed = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (failed != 0 && errno == EINTR);
  if (failed != 0) {
    if (errno != EWOULDBLOCK) return std::unexpected(errno_error(file.string(), errno));
    const std::string owner = single_line(read_all(fd.get(), 64).value_or(""));
    return fail("workspace_in_use",
                fmt::format("the workspace {} is in use by process {}: stop it, or name another "
                            "folder with --workspace",
                            workspace.string(), owner.empty() ? "unknown" : owner));
  }
  // For people and for the message above only: the lock itself is the kernel's.
  if (::ftruncate(fd.get(), 0) != 0) return std::unexpected(errno_error(file.string(), errno));
  BITLOOP_TRY(write_all(fd.get(), fmt::format("{}\n", ::getpid())));
  return WorkspaceLock(workspace, std::move(fd));
}

}  // namespace bitloop::journal
