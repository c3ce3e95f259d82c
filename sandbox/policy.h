// What one jailed program may do. Every default denies: a Policy that only names a program gives it
// no file beside its libraries, no descriptor, no environment, no writable folder, no memory worth
// having and no time.
//
// Inside the jail files appear under their own absolute names, read-only. Beside them there are
//
// - output/, the one writable folder; the working folder is its parent, so "output/x" is right in
//   any jail
// - /tmp, a small memory file system
// - /dev/null, /dev/zero, /dev/urandom
// - copies of /proc/cpuinfo and of the processor lists of /sys (no procfs, no sysfs)
//
// With a `gpu` there are its device files, its libraries, copies of a few more small files, and a
// procfs that shows the jail's own processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace bitloop::sandbox {

// A descriptor of the caller and the number it gets in the jail.
struct FdMapping {
  int source;  // stays open in the caller
  int target;  // 0..31, distinct
};

// A device file of the caller's, to be read, written and controlled as /dev/NAME.
struct Device {
  std::filesystem::path source;
  std::string name;
};

// What a program needs to compute on NVIDIA GPUs; gpu.h finds it. With it the jail also leaves what
// CUDA needs of the kernel, each exception listed in seccomp.h.
struct Gpu {
  std::vector<Device> devices;
  // Files and folders, shown like the program's own libraries.
  std::vector<std::filesystem::path> libraries;
  // Folders for LD_LIBRARY_PATH: the jail has no cache of the loader. Setting it is the caller's.
  std::vector<std::filesystem::path> library_path;
};

struct Policy {
  std::filesystem::path program;       // absolute; its ELF header names the library folders to show
  std::vector<std::string> arguments;  // argv[1], …
  std::vector<std::string> environment;  // "NAME=value"; nothing is inherited
  std::vector<FdMapping>
      descriptors;  // what is not named is closed; 0, 1 and 2 are /dev/null unless named
  // Processes of the same program beside the first, with its arguments, environment and rights; for
  // each its own descriptors. Started with it, since nothing in the jail can start a process.
  std::vector<std::vector<FdMapping>> companions;
  std::vector<std::filesystem::path>
      read_only;                 // absolute files and folders, shown without execute permission
  std::filesystem::path output;  // absolute folder named "output"; empty: there is none
  bool output_writable = false;  // false: output is shown read-only
  uint64_t tmp_bytes = 0;        // size of /tmp; 0: no /tmp
  std::optional<Gpu> gpu;        // nothing: no device, and nothing that CUDA would need
  // The host's network, for ranks on several machines: the layer net_namespace is missing then, so
  // nothing starts without allow_degraded. seccomp.h lists what it adds.
  bool network = false;
  uint64_t memory_bytes = 0;              // resident memory at which the program is killed
  uint64_t file_bytes = 0;                // RLIMIT_FSIZE: size of the largest file it may write
  unsigned threads = 1;                   // how many may live at once, of all processes together; a
                                          // process more is never allowed
  unsigned open_files = 80;               // RLIMIT_NOFILE: descriptors that are given and some more
  std::chrono::seconds cpu_time{0};       // RLIMIT_CPU, all threads together
  std::chrono::milliseconds deadline{0};  // wall-clock time from start to kill
  bool allow_degraded = false;            // start although a required layer can't be had
  std::set<std::string>
      disable_for_test;  // layers (names of layers.h) that behave as if the kernel refused them
};

}  // namespace bitloop::sandbox
