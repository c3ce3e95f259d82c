// Namespaces: the clone flags of a jail's first process, and who its user is.
//
// Inside, the user is kInnerUid. Outside it is: for root, an id of its own far above any account,
// since RLIMIT_NPROC does not hold for root and two jails must not share a user; for anybody else,
// the caller.
#pragma once

#include <sys/types.h>

#include "harness/base/result.h"
#include "sandbox/layers.h"

namespace bitloop::sandbox {

inline constexpr uid_t kInnerUid = 1000;

// The flags for clone(2) of every namespace in `layers`.
int clone_flags(const LayerSet& layers);

// The user and group outside that kInnerUid stands for. Stable for the life of this process.
uid_t outer_uid();
gid_t outer_gid();

// In the parent, before the child goes on: writes the user and group maps of `child`.
Status write_id_maps(pid_t child);

// In the child, after the maps are written. async-signal-safe; false with errno. `drop_groups`: the
// caller was root.
bool become_inner_user(bool drop_groups);

}  // namespace bitloop::sandbox
