#include "harness/jobs/ask_to_end.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "harness/base/fd.h"
#include "harness/jobs/cancelled.h"

namespace bitloop::jobs {

bool ask_supervisor_to_end(const std::filesystem::path& run_dir) {
  const auto lock = open_file(run_dir / "supervisor.lock", O_RDONLY);
  if (!lock) return false;
  const auto written_id = [&]() -> long {
    char text[32] = {};
    return ::pread(lock->get(), text, sizeof text - 1, 0) > 0 ? std::strtol(text, nullptr, 10) : 0;
  };
  const long pid = written_id();
  if (pid <= 1) return false;
  // The id is the holder's if the lock is held, and the id still stands there, after the process
  // was taken hold of: whoever takes the folder writes its own, which cannot pass to another
  // process while it lives.
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) return false;
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return false;
  if (written_id() != pid) return false;
  mark_cancelled(run_dir);
  return ::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) == 0;
}

}  // namespace bitloop::jobs
