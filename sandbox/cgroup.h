// A control group for one jail, where this machine lets one be made: the kernel then caps memory
// and processes itself. Version 1 (a memory and a pids hierarchy) and version 2 are tried, below
// the caller's own group first, then above it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::sandbox {

// Removes its folders when destroyed. Those of callers that were killed are removed by the next
// make().
class ControlGroup {
 public:
  ControlGroup() = default;
  ~ControlGroup();
  ControlGroup(ControlGroup&& other) noexcept : folders_(std::exchange(other.folders_, {})) {}
  ControlGroup& operator=(ControlGroup&&) = delete;

  // A group with caps. Errors: "sandbox_unavailable", the message a reason.
  static Result<ControlGroup> make(uint64_t memory_bytes, unsigned max_processes);
  // Puts a process (with what it starts later) into the group.
  Status add(pid_t process) const;
  // Whether the kernel killed something here for want of memory.
  bool out_of_memory() const;

 private:
  std::vector<std::filesystem::path> folders_;
};

// Whether make() would succeed, as far as can be told without making one: "" or a reason.
std::string control_group_obstacle();

}  // namespace bitloop::sandbox
