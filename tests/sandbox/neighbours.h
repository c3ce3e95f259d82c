// Native attempts on other processes of the machine: what a jail shares with its neighbours,
// another jail above all. A part of attempts.h.
#pragma once

#include <map>
#include <string>

namespace bitloop::testing {

// Names are "hold_…" for what makes a thing that a neighbour could find, says so on stdout and
// stays until it is killed, and "find_…" for what looks for it. The argument names the thing: a
// key, a name, a path or a process.
const std::map<std::string, int (*)(const std::string&)>& neighbour_attempts();

}  // namespace bitloop::testing
