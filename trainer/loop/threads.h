// All threads that a trainer will ever have, started while that is possible: the jail allows none
// later.
#pragma once

#include <cstdint>

namespace bitloop::trainer {

void start_threads(int64_t threads);

}  // namespace bitloop::trainer
