// Libraries of bitloop's own that are opened where a GPU is.
#pragma once

#include <string>

namespace bitloop::trainer {

// The path of a library beside this program's: in lib/ of the build or of the installation. Its
// name alone where it is not there, so that opening it says what is missing.
std::string own_library(const char* name);

}  // namespace bitloop::trainer
