// The first system-call filter, in force from the program's first instruction: an allow-list wide
// enough to load LibTorch and start threads. lock_down.h has the second, narrow one.
//
// Killed at once (SIGSYS): ptrace and reading another process's memory, mount, namespaces, keys,
// bpf, io_uring, modules, userfaultfd, other architectures' calls (x32, int 0x80). Every other call
// that is not on the list, sockets, processes (fork, vfork, clone without CLONE_THREAD) and TIOCSTI
// among them, fails with EPERM; clone3 with ENOSYS, so that libc uses clone, whose flags a filter
// can read.
//
// With a GPU, in addition: the ioctl requests of gpu_calls.h; an AF_UNIX socket that can be bound
// and listened on, which libcuda does and does not begin without, but neither connected, accepted
// from, sent to nor received from; memfd_create, which it needs too; mlock. And what kills is
// refused instead where a driver may try it (kTried): reading another process's memory and watching
// performance.
//
// With the network, in addition: TCP sockets, and all that is done with them (kAllowedWithNetwork);
// the socket that lists the machine's interfaces (NETLINK_ROUTE).
#pragma once

#include <linux/filter.h>

#include <vector>

#include "harness/base/result.h"

namespace bitloop::sandbox {

// The filter's program, made before the child is cloned. Errors: "sandbox_unavailable".
Result<std::vector<sock_filter>> build_load_filter(bool gpu = false, bool network = false);

// In the child, last before exec. async-signal-safe; false with errno. Requires: no-new-privs set.
bool install_filter(const std::vector<sock_filter>& program);

// Whether the kernel has filters and the action "kill process". No side effects.
bool seccomp_available();

}  // namespace bitloop::sandbox
