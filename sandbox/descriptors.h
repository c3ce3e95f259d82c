// Descriptors of the jailed program: those of the policy at their numbers, everything else closed.
#pragma once

#include <vector>

#include "sandbox/policy.h"

namespace bitloop::sandbox {

// In the child, last but for the filter. Descriptors 0, 1 and 2 that no mapping names become
// /dev/null. The others close at exec, not before, so that the report pipe works until then.
// async-signal-safe; false with errno.
bool map_descriptors(const std::vector<FdMapping>& mappings, bool close_others);

}  // namespace bitloop::sandbox
