// The second, narrower system-call filter: the trainer puts it on itself once its threads run and
// its code is warm, and before the candidate's Lua is loaded. What memory corruption could do after
// that is: compute, and write to descriptors that were open already.
//
// The rules of the profile of one rank on the CPU (kCpu):
//
// - Allowed: read, write, pread64, pwrite64, readv, writev, lseek, ftruncate, fsync, fdatasync,
//   fstat, close; memory that is anonymous and not executable (mmap, mprotect, mremap, munmap,
//   madvise, brk); futex; clocks and sleeps; getrandom; getpid, gettid, getrusage, sched_yield,
//   sched_getaffinity, getcpu; signals' own housekeeping (rt_sigreturn, rt_sigprocmask,
//   restart_syscall, sigaltstack) and tgkill(self, SIGABRT) for abort(); exit.
// - Refused: executable or file-backed memory (EACCES: oneDNN asks for such pages when it meets a
//   shape that was not warmed; it then reports an error of its own), ioctl (ENOTTY) and newfstatat
//   (EPERM), which stdio tries.
// - Anything else kills the whole process with SIGSYS; the verdict's killed_by is then "seccomp".
//
// So nothing can be opened and no thread can be started: open the weights file, start every thread,
// run every shape first. CUDA and several ranks need device calls and sockets: they will get
// profiles of their own.
#pragma once

#include "harness/base/result.h"

namespace bitloop::sandbox {

enum class LockDownProfile {
  kCpu,  // one rank on the CPU
};

// Applies the profile to every thread of this process, for good (it also sets no-new-privs).
// Errors: "sandbox_unavailable" when the kernel refuses the filter; then nothing has changed and no
// candidate may be loaded. Requires: called once. Each call adds a filter; a second one is killed
// by the first.
Status lock_down(LockDownProfile profile);

}  // namespace bitloop::sandbox
