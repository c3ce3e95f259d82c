// Between clone and exec the child may only make async-signal-safe calls: no memory is allocated,
// no lock taken. What goes wrong there is sent to the parent as a layer and an errno over a pipe
// that closes at exec.
#pragma once

#include <cerrno>

#include "sandbox/layers.h"

namespace bitloop::sandbox {

// What the child sends before it gives up: a layer, or one of the numbers below.
struct ChildFailure {
  int layer;
  int error;
};

inline constexpr int kExecFailed = -1;
inline constexpr int kFolderClosed = -2;  // the working folder can't be entered
inline constexpr int kNoProcfs = -3;      // a procfs of its own can't be had

// Sends {layer, errno} to `report_fd` and ends this process.
[[noreturn]] void child_fail(int report_fd, int layer, int error);

// Ends this process with a report when `ok` is false; errno says why.
inline void child_require(bool ok, int report_fd, Layer layer) {
  if (!ok) child_fail(report_fd, static_cast<int>(layer), errno);
}

}  // namespace bitloop::sandbox
