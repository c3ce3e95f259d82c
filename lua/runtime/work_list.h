// A walk over all tables and functions that a value reaches, each visited once. It lives in two
// tables on the Lua stack, so the collector sees what it holds, and a Lua error leaves nothing behind.
#pragma once

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

class WorkList {
 public:
  // Pushes two tables, which must stay where they are while the list is in use.
  explicit WorkList(lua_State* L) : L_(L) {
    luaL_checkstack(L, 16, "walk");
    lua_newtable(L);
    items_ = lua_gettop(L);
    lua_newtable(L);
    seen_ = lua_gettop(L);
  }

  // Notes the value on top of the stack when it leads on (a table or a function) and was not noted
  // before; pops it.
  void take() {
    const int type = lua_type(L_, -1);
    if (type == LUA_TTABLE || type == LUA_TFUNCTION) {
      lua_pushvalue(L_, -1);
      if (lua_rawget(L_, seen_) == LUA_TNIL) {
        lua_pushvalue(L_, -2);
        lua_pushboolean(L_, 1);
        lua_rawset(L_, seen_);
        lua_pushvalue(L_, -2);
        lua_rawseti(L_, items_, ++count_);
      }
      lua_pop(L_, 1);
    }
    lua_pop(L_, 1);
  }

  // Drops what the caller pushed, pushes the next item and returns its place on the stack; 0, with
  // both tables popped, when all were visited.
  int next() {
    lua_settop(L_, seen_);
    if (visited_ == count_) {
      lua_settop(L_, items_ - 1);
      return 0;
    }
    lua_rawgeti(L_, items_, ++visited_);
    return lua_gettop(L_);
  }

 private:
  lua_State* L_;
  int items_, seen_;
  lua_Integer count_ = 0, visited_ = 0;
};

}  // namespace bitloop::lua
