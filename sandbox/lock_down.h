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
// run every shape first. Ranks of one machine need nothing more: the memory that they share is
// mapped, and their sockets are open, by then.
//
// One rank with CUDA (kCuda) has in addition:
//
// - Allowed: poll and ppoll, in which CUDA's own threads wait; ioctl with the requests of
//   gpu_calls.h; file-backed memory, not executable, of the NVIDIA device files that are open by
//   then.
// - Refused: what drivers and their libraries try and do without. Opening (open, openat, openat2:
//   EACCES), looking at files, memory policies, more eventfds and pipes, memfd_create, prctl, and
//   more, all EPERM (kTried in lock_down.cpp).
// - Killed as before: programs, processes, threads, sockets, signals to others, limits.
//
// CUDA opens a device file anew for each piece of memory that it shares with the processor: pinned
// memory, streams and pools of events that are made later fail. The candidate's kernels can be
// compiled once NVRTC has compiled another: it opens a library of its own for the first.
//
// Ranks on several machines (`connected`), with either profile, have in addition: waiting for and
// using connections that are open (epoll_wait, epoll_pwait, epoll_ctl, poll, ppoll, sendmsg,
// recvmsg, sendto, recvfrom). Taking a new one (accept, accept4) is refused with EPERM, since
// anybody may knock, and prctl likewise, by which threads get names; making a socket or a
// connection kills.
//
// Test hooks, in the environment. BITLOOP_NAME_REFUSALS (x86-64): calls that would kill, and opens
// and ioctls that are refused, are named on standard error and fail with their errno, for finding
// out what a new driver wants; nothing more is allowed. BITLOOP_LOCK_DOWN=off: there is no
// lock-down; heeded only where the jail has no filter either, so that its verdict lacks seccomp.
#pragma once

#include "harness/base/result.h"

namespace bitloop::sandbox {

enum class LockDownProfile {
  kCpu,   // one rank on the CPU
  kCuda,  // one rank with CUDA, whose context, streams and pinned memory exist
};

// Applies the profile to every thread of this process, for good (it also sets no-new-privs).
// Errors: "sandbox_unavailable" when the kernel refuses the filter; then nothing has changed and no
// candidate may be loaded. Requires: called once. Each call adds a filter; a second one is killed
// by the first.
Status lock_down(LockDownProfile profile, bool connected = false);

}  // namespace bitloop::sandbox
