// What a candidate finds when it starts: an allow-list in one place. What is not on it does not
// exist.
#pragma once

#include <string>
#include <vector>

#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Pushes a new environment: our own and chosen standard functions, the library tables read-only.
// torch and bitloop are not in it: tensor/ adds them. The standard libraries themselves are
// dropped.
void push_environment(lua_State* L);

// The names that push_environment puts there: of each library, and of the globals (name "").
struct Library {
  std::string name;
  std::vector<std::string> names;
};
std::vector<Library> allowed_names();

// The text of a value as tostring gives it: never an address. Pushes nothing.
std::string display(lua_State* L, int index);

// Why a name of standard Lua is absent, or what to use instead; "" for other names.
std::string absent_hint(std::string_view name);
// Adds that to Lua's "attempt to call a nil value (global 'print')".
void add_absent_hint(std::string& message);

}  // namespace bitloop::lua
