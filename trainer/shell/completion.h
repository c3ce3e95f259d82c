// What the last word before the cursor may become.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lua/runtime/lua_api.h"

namespace bitloop::trainer::shell {

// The environment lies at the top of the stack. Names are read without running any Lua: globals and
// keywords, fields of tables, methods of tensors; within a string the names of `zoo` and of
// operations. Whole words ("torch.clamp" for "torch.cl"), sorted, 200 at most.
std::vector<std::string> completions(lua_State* L, std::string_view text,
                                     const std::vector<std::string>& zoo);

}  // namespace bitloop::trainer::shell
