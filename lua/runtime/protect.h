// Read-only tables. A table is protected in place: its content moves to a hidden table that only
// C++ sees, so that every reference to it, upvalues too, becomes read-only. Reading, #, ipairs and
// our pairs work as before.
#pragma once

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Makes the table at `index` read-only. `what` names it in the error of an assignment; it must be a
// literal.
void protect(lua_State* L, int index, const char* what);
// Protects every table that the value at `index` reaches: as key or value, and through functions'
// upvalues.
void protect_reachable(lua_State* L, int index, const char* what);
bool is_protected(lua_State* L, int index);
// Pushes the table that holds the content: the hidden one of a protected table, else the table
// itself.
void push_content(lua_State* L, int index);
// Pushes a list of the table's keys: numbers ascending, then strings by their bytes, then booleans.
// Raises on other keys when `strict` (their order would depend on addresses); else they come last,
// by address.
void push_sorted_keys(lua_State* L, int index, bool strict);

}  // namespace bitloop::lua
