// Slips of people who write Python all day, which Lua either takes for something else or refuses in
// words that don't help.
#pragma once

#include <string>
#include <string_view>

namespace bitloop::lua {

// True, False and None are names like others in Lua, and worth nil: "keepdim = True" would say
// nothing at all. A sentence with the line where one is read, or "".
std::string python_constant(std::string_view source, std::string_view file_name);

// Adds to the parser's message what to write instead.
void add_syntax_hint(std::string& message);

}  // namespace bitloop::lua
