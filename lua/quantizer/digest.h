// The digest of all that a candidate's functions can reach: how a call that remembers something is
// found out.
#pragma once

#include <string>

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Walks from the value at `index` through tables and upvalues: numbers, strings, tensors' bytes,
// and which functions and tables they are (by address, so digests compare within one state only).
// Raises Lua errors. Runs no Lua code.
std::string digest_reachable(lua_State* L, int index);

}  // namespace bitloop::lua
