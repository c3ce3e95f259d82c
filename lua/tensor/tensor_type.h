// Makes tensors known to a Lua state: the metatable with operators and methods, and the tables
// torch and bitloop.
#pragma once

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Adds `torch` and `bitloop` to the environment table on top of the stack. Requires: a TensorHeap
// for this state.
void install_tensors(lua_State* L);

}  // namespace bitloop::lua
