// The standard functions that we replace, each because the stock one can be abused: see
// base_functions.cpp.
#pragma once

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

int base_pairs(lua_State* L);     // sorted; works on read-only tables
int base_pcall(lua_State* L);     // can't catch a limit that has fired
int base_tostring(lua_State* L);  // no addresses
int string_format(lua_State* L);  // no %p, no addresses
int string_rep(lua_State* L);     // size checked before memory is asked for
int table_sort(lua_State* L);  // a stable merge sort: the stock one draws its pivot from the clock

}  // namespace bitloop::lua
