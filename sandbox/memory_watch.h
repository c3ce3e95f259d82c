// The memory cap that works everywhere: the supervisor looks at the resident size of the jail's
// program now and then.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace bitloop::sandbox {

// Bytes of anonymous and shared memory that the children of `init` hold; files they map don't
// count. 0 when there is none.
uint64_t resident_bytes_of_children(pid_t init);

}  // namespace bitloop::sandbox
