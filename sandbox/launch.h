// The start of a jail: everything is prepared, then a first process is cloned into the namespaces.
// It becomes the jail's init (process 1): it builds the file system, starts the program as its only
// child, and reports how that ended.
//
// - supervisor ──clone──▶ init: user, mounts, host name
// - init ──fork──▶ program and companions: no rights, Landlock, descriptors, limits, filter, exec
//
// The init is killed when the supervisor dies, and the kernel kills a process namespace with its
// init.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "sandbox/layers.h"
#include "sandbox/mounts.h"
#include "sandbox/policy.h"

namespace bitloop::sandbox {

struct Launched {
  pid_t init = -1;     // not reaped: the caller does
  UniqueFd init_fd;    // pidfd
  UniqueFd status_fd;  // read end: one ProgramEnd, from the init
};

// How the program ended: its first process, or before that a companion (Policy) that failed. The
// others are killed then.
struct ProgramEnd {
  unsigned process = 0;
  int status = 0;  // of wait(2)
};

// What went wrong in one attempt: a layer of the kernel's, or (no layer) the program can't be
// executed or, without a file system of its own, its working folder not be entered or, with a GPU,
// a procfs not be mounted.
struct LaunchFailure {
  std::optional<Layer> layer;
  int error = 0;
  bool folder_closed = false;
  bool no_procfs = false;  // which a GPU needs
};

class ControlGroup;

// One attempt with the given layers. `group` may be null.
std::expected<Launched, LaunchFailure> launch(const Policy& policy, const LayerSet& layers,
                                              MountPlan& plan, const ControlGroup* group);

// Whether this machine lets the caller make the namespaces of `layers`; the ones refused are lost
// from it. Fast (a few processes that end at once); leaves nothing behind.
void probe_namespaces(LayerSet& layers);

}  // namespace bitloop::sandbox
