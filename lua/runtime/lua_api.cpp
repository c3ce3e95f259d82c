#include "lua/runtime/lua_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "harness/base/text.h"
#include "lua/runtime/torch_failure.h"

namespace bitloop::lua {

std::string where(lua_State* L) {
  lua_Debug frame;
  for (int level = 0; lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline > 0) return fmt::format("{}:{}: ", frame.short_src, frame.currentline);
  }
  return "";
}

void raise(lua_State* L, const std::string& message) {
  const std::string text = where(L) + message;
  lua_pushlstring(L, text.data(), text.size());
  lua_error(L);
  __builtin_unreachable();
}

std::string explain(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return "out of memory";
  const std::string text = words_of(error);
  return text.substr(0, text.find('\n'));
}

std::string describe(lua_State* L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TNONE:
      return "nothing";
    case LUA_TNIL:
      return "nil";
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) ? "true" : "false";
    case LUA_TNUMBER:
      if (lua_tonumber(L, index) != lua_tonumber(L, index))
        return "the number nan";  // printf shows its sign, which means nothing
      lua_pushvalue(L, index);  // lua_tolstring changes the value that it converts
      {
        std::string text = fmt::format("the number {}", lua_tostring(L, -1));
        lua_pop(L, 1);
        return text;
      }
    case LUA_TSTRING: {
      size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      return fmt::format("the string '{}'", std::string_view(text, std::min<size_t>(size, 40)));
    }
    case LUA_TUSERDATA:
      return "a tensor";
    default:
      return fmt::format("a {}", luaL_typename(L, index));
  }
}

std::string nearest(std::string_view name, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  size_t best_distance = std::max<size_t>(1, name.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return std::string(best);
}

}  // namespace bitloop::lua
