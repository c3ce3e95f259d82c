// The operators of tensors: + - * / // ^ % and unary - with tensors and numbers; comparisons of
// one-element tensors; tostring. # and .. are refused with a hint.
#pragma once

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Sets the metamethods in the table at `metatable`.
void add_operators(lua_State* L, int metatable);

}  // namespace bitloop::lua
