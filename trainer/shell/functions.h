// The functions that exist in the shell only, with their one line of help each.
#pragma once

#include <span>
#include <string_view>

#include "lua/runtime/lua_api.h"
#include "lua/tensor/operation.h"

namespace bitloop::trainer::shell {

struct Function {
  std::string_view signature;  // "hist(x, bins=16)"
  std::string_view doc;
  int (*function)(lua_State*);
};

std::span<const Function> shell_functions();
// torch.randn and its like; the candidate's torch has none.
std::span<const lua::Operation> random_operations();

// Prints what the values on the stack show: in a line with tabs, or each on lines of its own.
int print(lua_State* L);

}  // namespace bitloop::trainer::shell
