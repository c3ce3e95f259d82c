// The manual of the operations, from the table that binds them.
#pragma once

#include <string>

namespace bitloop::lua {

// Markdown: a heading a group, a line an operation with its forms, signature and documentation.
std::string operations_manual();

}  // namespace bitloop::lua
