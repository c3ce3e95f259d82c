// What native code in the trainer could write to the host, line by line and worse. A part of the
// fake trainer.
#pragma once

#include <string>

namespace bitloop::testing {

// Writes the forgery `name` (see forgeries.cpp). `nonce`: the run's own, for those that have it.
// Returns false for a name that does not exist.
bool forge(const std::string& name, const std::string& nonce);

}  // namespace bitloop::testing
