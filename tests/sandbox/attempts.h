// Native attempts to leave a jail, as memory corruption could make them: each one tries its thing
// for real.
#pragma once

#include <string>

namespace bitloop::testing {

// Tries `name` with `argument` (a path, a port, a number; see attempts.cpp). 0: it worked; else an
// errno. May be killed.
int attempt(const std::string& name, const std::string& argument);

}  // namespace bitloop::testing
