#include "harness/journal/workspace_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "harness/base/text.h"

namespace bitloop::journal {
namespace {

using namespace std::chrono_literals;

// How long the lock of a killed process may still be held: until the kernel has taken it down, and
// by a child that it had just forked until that becomes another program or ends.
constexpr auto kLastWords = 2s;

bool try_lock(int fd) {
  int failed = 0;
  do {
    failed = ::flock(fd, LOCK_EX | LOCK_NB);
  } while (failed != 0 && errno == EINTR);
  return failed == 0;
}

// Who wrote its number into the lock's file; "" where that cannot be read.
std::string owner_of(int fd) {
  if (::lseek(fd, 0, SEEK_SET) != 0) return "";
  return single_line(read_all(fd, 64).value_or(""));
}

}  // namespace

Result<WorkspaceLock> WorkspaceLock::acquire(const std::filesystem::path& workspace) {
  std::error_code error;
  std::filesystem::create_directories(workspace, error);
  if (error) return std::unexpected(errno_error(workspace.string(), error.value()));
  const std::filesystem::path file = workspace / ".lock";
  BITLOOP_ASSIGN(fd, open_file(file, O_RDWR | O_CREAT));
  const auto deadline = std::chrono::steady_clock::now() + kLastWords;
  while (!try_lock(fd.get())) {
    if (errno != EWOULDBLOCK) return std::unexpected(errno_error(file.string(), errno));
    // One that is being killed can't be told from one that lives.
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(10ms);
      continue;
    }
    const std::string owner = owner_of(fd.get());
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
