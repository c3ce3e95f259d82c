// What help() says, from the tables that bind the functions.
#pragma once

#include <string>
#include <string_view>

namespace bitloop::trainer::shell {

// The shell's own functions, and the names of all operations by group.
std::string help_overview();
// The line of one function ("clamp", "torch.clamp", "x:clamp"), or the nearest name.
std::string help_about(std::string_view name);

}  // namespace bitloop::trainer::shell
