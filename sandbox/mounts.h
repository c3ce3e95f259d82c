// The file system of a jail: a memory file system, read-only once it is built, on which the files
// of the policy are mounted under their own names. The caller's files are cloned as detached mounts
// first, so nothing is reached through paths later.
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "sandbox/policy.h"

namespace bitloop::sandbox {

struct Bind {
  std::string source;  // resolved
  std::string target;  // where it appears; absolute, no links, no "."
  bool is_folder = false;
  bool writable = false;
  bool executable = false;  // code may be mapped from it
  bool device = false;
  bool gpu = false;      // a device file that is controlled (ioctl), too
  bool program = false;  // may be executed: the program and its loader
  int fd = -1;           // in the child: the detached mount
};

struct TextFile {
  std::string path;
  std::string content;
};

struct Link {
  std::string path;
  std::string content;
};

// All that the child needs, made before it is cloned.
struct MountPlan {
  std::vector<Bind> binds;  // parents before children
  std::vector<Link> links;  // /lib -> usr/lib, as on this machine
  std::vector<TextFile>
      topology;          // copies of what LibTorch reads about processors, CUDA about more
  bool procfs = false;   // its own processes, as kProcesses
  std::string tmp_size;  // for the option size= of /tmp; empty: none
  std::string staging;   // a folder of the old view to hang the new one on
};

// Where the jail's own processes are shown when there is a GPU: CUDA does not begin without naming
// its threads in /proc/self/task/N/comm. /proc/self, thread-self and the program's number are links
// to it; of the rest of a procfs there is nothing.
inline constexpr char kProcesses[] = "/proc/processes";

// Resolves the policy's files. Errors: "file_not_found" naming the one that isn't there.
Result<MountPlan> plan_mounts(const Policy& policy);

// When the jail's user is not the caller: whether that user may read and enter everything planned,
// and the output folder's owner. Errors: "not_readable" naming the file and what to do.
Status check_readable_by_others(const MountPlan& plan);

// With the caller's user, in the child or before it is cloned. async-signal-safe; false with errno,
// and none is open.
bool clone_sources(MountPlan& plan);
void close_sources(MountPlan& plan);
// In the child, as the inner user with its capabilities: builds the new root and pivots to it. The
// working folder is / then. On false `procfs_refused` tells whether it was the procfs.
bool enter_root(const MountPlan& plan, bool& procfs_refused);

}  // namespace bitloop::sandbox
