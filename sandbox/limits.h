// Resource limits of the kernel (rlimits) for one jailed program.
#pragma once

#include <sys/resource.h>

#include <vector>

#include "sandbox/layers.h"
#include "sandbox/policy.h"

namespace bitloop::sandbox {

struct Limit {
  int resource;
  rlim_t soft;
  rlim_t hard;
};

// Those of the layers kRlimits and kMemory. RLIMIT_DATA lies a margin above policy.memory_bytes: it
// counts what is reserved, and is there so that one huge allocation fails in the program instead of
// killing it; with a GPU it is not set.
std::vector<Limit> plan_limits(const Policy& policy, const LayerSet& layers);

// In the child. async-signal-safe; false with errno. A hard limit of the caller that is lower
// stays.
bool apply_limits(const std::vector<Limit>& limits);

}  // namespace bitloop::sandbox
