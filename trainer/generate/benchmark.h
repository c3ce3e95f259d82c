// What the speed of generation is put beside: memory's own, and how much of it this process holds.
#pragma once

#include <cstdint>

namespace bitloop::trainer {

// Bytes read and written a second while all threads copy 128 MiB to another place; the best of a
// few.
double measured_copy();

// The most bytes of this process that were in memory at a time, mapped files among them.
int64_t peak_resident_bytes();

}  // namespace bitloop::trainer
