#include "lua/runtime/protect.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

#include "lua/runtime/work_list.h"

namespace bitloop::lua {

namespace {

const char kContentKey = 0;  // its address is the key of the hidden table in the metatable

int refuse_write(lua_State* L) {
  const char* what = static_cast<const char*>(lua_touserdata(L, lua_upvalueindex(1)));
  const std::string key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  raise(L, fmt::format("can't set '{}': {}", key, what));
}

int length(lua_State* L) {
  push_content(L, 1);
  lua_pushinteger(L, static_cast<lua_Integer>(lua_rawlen(L, -1)));
  return 1;
}

struct Key {
  int order = 0;           // 0 number, 1 string, 2 boolean, 3 other
  long double number = 0;  // holds every int64 and every double exactly
  std::string_view text;
  const void* address = nullptr;
  lua_Integer place = 0;  // in the unsorted list

  bool operator<(const Key& other) const {
    if (order != other.order) return order < other.order;
    if (order == 1) return text < other.text;
    if (order == 3) return std::less<const void*>()(address, other.address);
    return number < other.number;
  }
};

Key make_key(lua_State* L, int index, bool strict) {
  Key key;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER:
      key.number = lua_isinteger(L, index) ? static_cast<long double>(lua_tointeger(L, index))
                                           : static_cast<long double>(lua_tonumber(L, index));
      break;
    case LUA_TSTRING: {
      size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      key.text = {text, size};
      key.order = 1;
      break;
    }
    case LUA_TBOOLEAN:
      key.order = 2;
      key.number = lua_toboolean(L, index);
      break;
    default:
      if (strict) {
        raise(L, fmt::format("pairs: a key is {}; only numbers, strings and booleans have an order",
                             describe(L, index)));
      }
      key.order = 3;
      key.address = lua_topointer(L, index);
  }
  return key;
}

}  // namespace

bool is_protected(lua_State* L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  const bool found = lua_rawgetp(L, -1, &kContentKey) == LUA_TTABLE;
  lua_pop(L, 2);
  return found;
}

void push_content(lua_State* L, int index) {
  index = lua_absindex(L, index);
  if (lua_getmetatable(L, index)) {
    if (lua_rawgetp(L, -1, &kContentKey) == LUA_TTABLE) {
      lua_remove(L, -2);
      return;
    }
    lua_pop(L, 2);
  }
  lua_pushvalue(L, index);
}

void protect(lua_State* L, int index, const char* what) {
  index = lua_absindex(L, index);
  if (is_protected(L, index)) return;
  luaL_checkstack(L, 8, "protect");
  lua_newtable(L);
  const int content = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, content);
  }
  // The emptied table is filled with nil by key, as fields may be cleared but not added while a
  // table is traversed.
  lua_pushnil(L);
  while (lua_next(L, content)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, index);
  }
  lua_newtable(L);
  lua_pushvalue(L, content);
  lua_rawsetp(L, -2, &kContentKey);
  lua_pushvalue(L, content);
  lua_setfield(L, -2, "__index");
  lua_pushlightuserdata(L, const_cast<char*>(what));
  lua_pushcclosure(L, guarded<refuse_write>, 1);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, guarded<length>);
  lua_setfield(L, -2, "__len");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, index);
  lua_settop(L, content - 1);
}

void protect_reachable(lua_State* L, int index, const char* what) {
  index = lua_absindex(L, index);
  WorkList work(L);
  lua_pushvalue(L, index);
  work.take();
  while (const int item = work.next()) {
    if (lua_type(L, item) == LUA_TTABLE) {
      push_content(L, item);
      lua_pushnil(L);
      while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        work.take();
        work.take();
      }
      protect(L, item, what);
    } else {
      for (int i = 1; lua_getupvalue(L, item, i) != nullptr; ++i) work.take();
    }
  }
}

void push_sorted_keys(lua_State* L, int index, bool strict) {
  luaL_checkstack(L, 8, "keys");
  push_content(L, index);
  const int content = lua_gettop(L);
  lua_newtable(L);
  const int unsorted = lua_gettop(L);
  std::vector<Key> keys;
  lua_pushnil(L);
  while (lua_next(L, content)) {
    lua_pop(L, 1);
    Key key = make_key(L, -1, strict);
    key.place = static_cast<lua_Integer>(keys.size()) + 1;
    keys.push_back(key);
    lua_pushvalue(L, -1);
    lua_rawseti(L, unsorted, key.place);
  }
  std::sort(keys.begin(), keys.end());
  lua_createtable(L, static_cast<int>(keys.size()), 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    lua_rawgeti(L, unsorted, keys[i].place);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  lua_replace(L, content);
  lua_settop(L, content);
}

}  // namespace bitloop::lua
