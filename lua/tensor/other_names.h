// What people who know PyTorch, Torch7 or NumPy call things: the names that do not exist here, each
// with what to write instead.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "lua/tensor/signature.h"

namespace bitloop::lua {

// "use cat" for "concatenate": of methods and functions that do not exist, in words or by the
// nearest name; "" when nothing is near.
std::string suggest_operation(std::string_view name);
// "did you mean 'dim'?" for x:sum{axis = 1}; "" when nothing is near.
std::string suggest_argument(std::string_view name, const Signature& operation);

// All names with their hints, for tests.
std::span<const std::pair<std::string_view, std::string_view>> other_names();

}  // namespace bitloop::lua
