#include "lua/runtime/environment.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "lua/runtime/base_functions.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"

namespace bitloop::lua {

namespace {

// The allow-list. A null function is taken from the standard library of the same name; the others
// are ours.
struct Entry {
  const char* name;
  lua_CFunction own;
};

constexpr Entry kBase[] = {
    {"assert", nullptr},   {"error", nullptr},    {"ipairs", nullptr},
    {"select", nullptr},   {"tonumber", nullptr}, {"type", nullptr},
    {"pairs", base_pairs}, {"pcall", base_pcall}, {"tostring", base_tostring},
};
constexpr Entry kMath[] = {
    {"abs", nullptr},        {"acos", nullptr}, {"asin", nullptr},      {"atan", nullptr},
    {"ceil", nullptr},       {"cos", nullptr},  {"deg", nullptr},       {"exp", nullptr},
    {"floor", nullptr},      {"fmod", nullptr}, {"log", nullptr},       {"max", nullptr},
    {"min", nullptr},        {"modf", nullptr}, {"rad", nullptr},       {"sin", nullptr},
    {"sqrt", nullptr},       {"tan", nullptr},  {"tointeger", nullptr}, {"type", nullptr},
    {"ult", nullptr},        {"huge", nullptr}, {"pi", nullptr},        {"maxinteger", nullptr},
    {"mininteger", nullptr},
};
constexpr Entry kString[] = {
    {"byte", nullptr},    {"char", nullptr},  {"format", string_format},
    {"len", nullptr},     {"lower", nullptr}, {"rep", string_rep},
    {"reverse", nullptr}, {"sub", nullptr},   {"upper", nullptr},
};
constexpr Entry kTable[] = {
    {"concat", nullptr}, {"insert", nullptr},  {"pack", nullptr},
    {"remove", nullptr}, {"sort", table_sort}, {"unpack", nullptr},
};

constexpr std::pair<std::string_view, std::string_view> kAbsent[] = {
    {"print", "there is no output here: raise error(tostring(x)) to look at a value"},
    {"require", "a quantizer is one file"},
    {"setmetatable", "there are no metatables here"},
    {"getmetatable", "there are no metatables here"},
    {"coroutine", "there are no coroutines here"},
    {"os", "there is no operating system here"},
    {"io", "there are no files here"},
    {"debug", "there is no debug library here"},
    {"next", "use pairs"},
    {"unpack", "use table.unpack"},
    {"xpcall", "use pcall"},
    {"load", "code can't be loaded here"},
    {"loadstring", "code can't be loaded here"},
    {"dofile", "code can't be loaded here"},
    {"loadfile", "code can't be loaded here"},
    {"np", "use torch"},
    {"numpy", "use torch"},
    {"F", "use torch"},
    {"_G", "use local names"},
};

// Copies the entries of `library` (on top of the stack) into a new table, which takes its place.
template <size_t kSize>
void choose(lua_State* L, const Entry (&entries)[kSize]) {
  lua_createtable(L, 0, kSize);
  for (const Entry& entry : entries) {
    if (entry.own == string_format) {  // wraps the stock function
      lua_getfield(L, -2, entry.name);
      lua_pushcclosure(L, entry.own, 1);
    } else if (entry.own) {
      lua_pushcfunction(L, entry.own);
    } else {
      lua_getfield(L, -2, entry.name);
    }
    lua_setfield(L, -2, entry.name);
  }
  lua_remove(L, -2);
}

template <size_t kSize>
void add_library(lua_State* L, const char* name, lua_CFunction open,
                 const Entry (&entries)[kSize]) {
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  choose(L, entries);
  protect(L, -1, "the libraries are read-only");
  lua_setfield(L, -2, name);
}

void clear_table(lua_State* L, int index) {
  index = lua_absindex(L, index);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, index);
  }
}

}  // namespace

void push_environment(lua_State* L) {
  lua_pushcfunction(L, luaopen_base);  // fills and returns the table of globals
  lua_call(L, 0, 1);
  choose(L, kBase);
  const int environment = lua_gettop(L);
  add_library(L, "math", luaopen_math, kMath);
  add_library(L, "table", luaopen_table, kTable);
  add_library(L, "string", luaopen_string, kString);
  // luaopen_string gave all strings a metatable with the whole library: ("x"):find(…). Ours has the
  // chosen functions only.
  lua_pushliteral(L, "");
  lua_createtable(L, 0, 2);
  lua_getfield(L, environment, "string");
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_settop(L, environment);
  lua_pushglobaltable(L);
  clear_table(L, -1);
  lua_pop(L, 1);
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

std::vector<Library> allowed_names() {
  const auto names = [](std::span<const Entry> entries) {
    std::vector<std::string> list;
    for (const Entry& entry : entries) list.emplace_back(entry.name);
    return list;
  };
  return {{"", names(kBase)},
          {"math", names(kMath)},
          {"string", names(kString)},
          {"table", names(kTable)}};
}

std::string absent_hint(std::string_view name) {
  for (const auto& [absent, hint] : kAbsent) {
    if (absent == name) return std::string(hint);
  }
  return "";
}

void add_absent_hint(std::string& message) {
  constexpr std::string_view kGlobal = "(global '";
  const size_t start = message.find(kGlobal);
  if (start == std::string::npos) return;
  const size_t name = start + kGlobal.size();
  const size_t end = message.find('\'', name);
  if (end == std::string::npos) return;
  const std::string hint = absent_hint(std::string_view(message).substr(name, end - name));
  if (!hint.empty()) message += "; " + hint;
}

}  // namespace bitloop::lua
