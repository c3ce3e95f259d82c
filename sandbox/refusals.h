// Names system calls that a filter stopped (SECCOMP_RET_TRAP) on standard error, for finding out
// what a new driver wants. The call is not made: it fails with the errno that the filter would have
// given.
#pragma once

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bitloop::sandbox {

#ifdef __x86_64__

// Async-signal-safe, as far as snprintf of numbers and a path is.
inline void on_refusal(int, siginfo_t* info, void* context) {
  static std::atomic<bool> told[1024];
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const int call = info->si_syscall;
  const bool opens = call == SYS_openat || call == SYS_open;
  const bool again = call >= 0 && call < 1024 && told[call].exchange(true);
  char line[512];
  int length = 0;
  if (opens) {  // each path counts
    const greg_t path = registers[call == SYS_open ? REG_RDI : REG_RSI];
    length = std::snprintf(line, sizeof line, "refused after the lock-down: open %.400s\n",
                           reinterpret_cast<const char*>(path));
  } else if (call == SYS_ioctl) {
    length = std::snprintf(line, sizeof line, "refused after the lock-down: ioctl %#llx\n",
                           static_cast<unsigned long long>(registers[REG_RSI]));
  } else if (!again) {
    length =
        std::snprintf(line, sizeof line, "refused after the lock-down: system call %d\n", call);
  }
  if (length > 0) {
    [[maybe_unused]] const ssize_t sent = ::write(
        STDERR_FILENO, line, std::min<size_t>(static_cast<size_t>(length), sizeof line - 1));
  }
  registers[REG_RAX] = opens || call == SYS_openat2 ? -EACCES
                       : call == SYS_ioctl          ? -ENOTTY
                                                    : -EPERM;
}

// Whether they are named from now on.
inline bool name_refusals() {
  struct sigaction action {};
  action.sa_sigaction = on_refusal;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return ::sigaction(SIGSYS, &action, nullptr) == 0;
}

#else

inline bool name_refusals() { return false; }

#endif

}  // namespace bitloop::sandbox
