// The Lua headers, and the functions every C function of ours is written with. Lua here is its C++
// build: lua_error is a C++ exception, so destructors run.
#pragma once

#include <lua.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace bitloop::lua {

// "candidate.lua:17: " of the innermost Lua function that is running, "" when there is none.
std::string where(lua_State* L);
// Raises a Lua error "<where><message>".
[[noreturn]] void raise(lua_State* L, const std::string& message);
// The same for what LibTorch or C++ threw, of which `message` tells: where the machine is to blame,
// as a limit that has fired, which no pcall of the candidate's catches (Guest::trip).
[[noreturn]] void raise_failure(lua_State* L, const std::exception& error,
                                const std::string& message);
// What an error says to users: the first line of what_without_backtrace() for LibTorch's, what()
// for others.
std::string explain(const std::exception& error);
// "a table", "nil", "a tensor", "the string 'abc'", "the number 3": what came, for messages.
std::string describe(lua_State* L, int index);
// The candidate nearest to `name` by edit distance, "" when none is near.
std::string nearest(std::string_view name, const std::vector<std::string_view>& candidates);

// Wraps a C function so that C++ exceptions become Lua errors; Lua's own errors pass.
template <int (*kFunction)(lua_State*)>
int guarded(lua_State* L) {
  try {
    return kFunction(L);
  } catch (const std::exception& error) {
    raise_failure(L, error, explain(error));
  }
}

}  // namespace bitloop::lua
