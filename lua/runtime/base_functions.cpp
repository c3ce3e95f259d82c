#include "lua/runtime/base_functions.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "lua/runtime/environment.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"

namespace bitloop::lua {

namespace {

constexpr lua_Integer kMaxSort = 1 << 20;  // elements

int pairs_step(lua_State* L) {  // upvalues: content, keys, place
  lua_Integer place = lua_tointeger(L, lua_upvalueindex(3));
  for (;;) {
    ++place;
    if (lua_rawgeti(L, lua_upvalueindex(2), place) == LUA_TNIL) return 1;
    lua_pushvalue(L, -1);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) break;  // else: removed during the loop
    lua_pop(L, 2);
  }
  lua_pushinteger(L, place);
  lua_replace(L, lua_upvalueindex(3));
  return 2;
}

int pairs_impl(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (is_protected(L, 1)) Guest::of(L).listed_read_only = true;
  push_content(L, 1);
  push_sorted_keys(L, 1, true);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, pairs_step, 3);
  return 1;
}

int pcall_impl(lua_State* L) {
  luaL_checkany(L, 1);
  Guest& guest = Guest::of(L);
  const int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  if (guest.tripped()) guest.check(L);
  if (status == LUA_ERRMEM) guest.trip(L, Trip::kMemory, "out of memory");
  if (status != LUA_OK) guest.caught_error = true;
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, 1);
  return lua_gettop(L);
}

int tostring_impl(lua_State* L) {
  luaL_checkany(L, 1);
  const std::string text = display(L, 1);
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

int rep_impl(lua_State* L) {
  size_t size = 0, separator_size = 0;
  const char* text = luaL_checklstring(L, 1, &size);
  const lua_Integer count = luaL_checkinteger(L, 2);
  const char* separator = luaL_optlstring(L, 3, "", &separator_size);
  if (count <= 0 || size + separator_size == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  Guest& guest = Guest::of(L);
  const size_t room = guest.limits().lua_bytes / 4;
  if (static_cast<size_t>(count) > room / (size + separator_size)) {
    guest.trip(L, Trip::kMemory, "string.rep: the result would be larger than Lua's memory allows");
  }
  std::string result;
  result.reserve((size + separator_size) * static_cast<size_t>(count));
  for (lua_Integer i = 0; i < count; ++i) {
    result.append(text, size);
    if (i + 1 < count) result.append(separator, separator_size);
  }
  lua_pushlstring(L, result.data(), result.size());
  return 1;
}

// The stock string.format, behind a check of the conversions; values that %s would print with an
// address are replaced.
int format_impl(lua_State* L) {  // upvalue: the stock function
  size_t size = 0;
  const char* text = luaL_checklstring(L, 1, &size);
  int argument = 1;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] != '%') continue;
    if (++i < size && text[i] == '%') continue;
    while (i < size && std::strchr("-+ #0123456789.", text[i])) ++i;
    if (i >= size || !std::strchr("diuoxXcaAeEfFgGs", text[i])) {
      raise(L, fmt::format("string.format: there is no conversion '%{}'",
                           i < size ? std::string(1, text[i]) : ""));
    }
    ++argument;
    const int type = lua_type(L, argument);
    if (text[i] == 's' && type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TNONE) {
      const std::string shown = display(L, argument);
      lua_pushlstring(L, shown.data(), shown.size());
      lua_replace(L, argument);
    }
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

// Whether element a (stack index) comes before element b, by the comparator at index 2 or by <.
bool comes_before(lua_State* L, int a, int b) {
  if (lua_isnoneornil(L, 2)) return lua_compare(L, a, b, LUA_OPLT);
  a = lua_absindex(L, a);
  b = lua_absindex(L, b);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, a);
  lua_pushvalue(L, b);
  lua_call(L, 2, 1);
  const bool result = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return result;
}

// Bottom-up merge sort between two lists: always about n log2 n comparisons, whatever the
// comparator answers.
int sort_impl(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  const lua_Integer n = luaL_len(L, 1);
  if (n > kMaxSort) raise(L, fmt::format("table.sort: {} elements are too many", n));
  lua_createtable(L, static_cast<int>(n), 0);
  lua_createtable(L, static_cast<int>(n), 0);
  int from = 3, to = 4;
  for (lua_Integer i = 1; i <= n; ++i) {
    lua_geti(L, 1, i);
    lua_rawseti(L, from, i);
  }
  Guest& guest = Guest::of(L);
  for (lua_Integer width = 1; width < n; width *= 2) {
    for (lua_Integer start = 1; start <= n; start += 2 * width) {
      guest.check(L);
      const lua_Integer middle = std::min(start + width, n + 1);
      const lua_Integer end = std::min(start + 2 * width, n + 1);
      lua_Integer left = start, right = middle;
      for (lua_Integer place = start; place < end; ++place) {
        bool take_right = left >= middle;
        if (left < middle && right < end) {
          lua_rawgeti(L, from, right);
          lua_rawgeti(L, from, left);
          take_right = comes_before(L, -2, -1);
          lua_pop(L, 2);
        }
        lua_rawgeti(L, from, take_right ? right++ : left++);
        lua_rawseti(L, to, place);
      }
    }
    std::swap(from, to);
  }
  for (lua_Integer i = 1; i <= n; ++i) {
    lua_rawgeti(L, from, i);
    lua_seti(L, 1, i);
  }
  return 0;
}

}  // namespace

std::string display(lua_State* L, int index) {
  index = lua_absindex(L, index);
  switch (lua_type(L, index)) {
    case LUA_TNIL:
      return "nil";
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) ? "true" : "false";
    case LUA_TSTRING: {
      size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      return std::string(text, size);
    }
    case LUA_TNUMBER: {
      lua_pushvalue(L, index);
      std::string text = lua_tostring(L, -1);
      lua_pop(L, 1);
      return text;
    }
    case LUA_TUSERDATA: {
      std::string text = "userdata";
      if (luaL_callmeta(L, index, "__tostring")) {
        text = lua_tostring(L, -1);
        lua_pop(L, 1);
      }
      return text;
    }
    default:
      return luaL_typename(L, index);
  }
}

int base_pairs(lua_State* L) { return guarded<pairs_impl>(L); }
int base_pcall(lua_State* L) { return guarded<pcall_impl>(L); }
int base_tostring(lua_State* L) { return guarded<tostring_impl>(L); }
int string_rep(lua_State* L) { return guarded<rep_impl>(L); }
int string_format(lua_State* L) { return guarded<format_impl>(L); }
int table_sort(lua_State* L) { return guarded<sort_impl>(L); }

}  // namespace bitloop::lua
