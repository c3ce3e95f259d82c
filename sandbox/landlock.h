// Landlock: a second opinion on every path, independent of the mounts. Only the program and its
// loader can be executed, only planned files read, only output/ and /tmp written (with a GPU also
// its device files, controlled too, and the files of the jail's own processes); no TCP, and (newer
// kernels) no signals to what is outside.
#pragma once

#include "sandbox/mounts.h"

namespace bitloop::sandbox {

// The kernel's Landlock version (1, 2, …), or -errno when it has none. No side effects.
int landlock_abi();

// In the child. `inside`: paths are those of the jail's root; else (no mount namespace) those of
// the host. async-signal-safe; false with errno. Requires: no-new-privs set, abi = landlock_abi() >
// 0.
bool apply_landlock(const MountPlan& plan, int abi, bool inside, bool network);

}  // namespace bitloop::sandbox
