#include "trainer/data/watched_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <vector>

namespace bitloop::trainer {
namespace {

std::mutex mutex;
std::vector<const WatchedFile*>& files() {
  static std::vector<const WatchedFile*> all;
  return all;
}

// What the handler of the signal reads: no locks, no memory of its own. A file beyond the last
// place is watched all the same, but for the signal.
struct Range {
  std::atomic<const char*> begin{nullptr};
  std::atomic<size_t> size{0};
};
std::array<Range, 4096> ranges;
const std::string* last_line = nullptr;
int last_fd = -1, last_code = 1;

void on_bus_error(int signal, siginfo_t* info, void*) {
  const auto* at = static_cast<const char*>(info->si_addr);
  for (const Range& range : ranges) {
    const char* begin = range.begin;
    if (begin == nullptr || at < begin || at >= begin + range.size) continue;
    (void)!::write(STDERR_FILENO, kCutShort.data(), kCutShort.size());
    if (last_fd >= 0) (void)!::write(last_fd, last_line->data(), last_line->size());
    ::_exit(last_code);
  }
  // Another one: dies of it when this returns. A handler can be taken away by a call that the
  // narrowed process may no longer make.
  (void)signal;
  ::abort();
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

WatchedFile::WatchedFile(int fd, std::string name, const void* address, size_t size)
    : fd_(::fcntl(fd, F_DUPFD_CLOEXEC, 3)), name_(std::move(name)), address_(address), size_(size) {
  ::fstat(fd_.get(), &before_);
  const std::lock_guard lock(mutex);
  files().push_back(this);
  for (Range& range : ranges)
    if (range.begin == nullptr) {
      range.size = size;
      range.begin = static_cast<const char*>(address);
      break;
    }
}

WatchedFile::~WatchedFile() {
  const std::lock_guard lock(mutex);
  std::erase(files(), this);
  for (Range& range : ranges)
    if (range.begin == static_cast<const char*>(address_)) range.begin = nullptr;
}

Status check_watched_files() {
  const std::lock_guard lock(mutex);
  for (const WatchedFile* file : files()) {
    struct stat now {};
    // glibc's fstat is another system call, which is refused once they are narrowed.
    if (::syscall(SYS_fstat, file->fd_.get(), &now) != 0)
      return fail("infrastructure", errno_error(file->name_, errno).message);
    const struct stat& before = file->before_;
    if (now.st_size == before.st_size && same_time(now.st_mtim, before.st_mtim)) continue;
    return fail(
        "infrastructure",
        fmt::format("{} changed while the run read it ({} bytes before, {} now): let nothing "
                    "write to data that is in use, then test again",
                    file->name_, before.st_size, now.st_size));
  }
  return {};
}

void end_on_cut_files(int fd, const std::string& line, int exit_code) {
  static std::string kept;
  kept = line;
  last_line = &kept;
  last_fd = fd;
  last_code = exit_code;
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace bitloop::trainer
