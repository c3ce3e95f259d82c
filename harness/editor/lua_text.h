// Lua text as its tokens alone: two files with the same tokens are the same program, whatever their
// comments and white space. A tokenizer and no more: text that is no Lua has tokens, too.
#pragma once

#include <string>
#include <string_view>

namespace bitloop::editor {

// The tokens in their order, one space between two: comments of both kinds are left out, strings
// (also the long ones) stay as they are written, numbers and names too. What is not closed goes to
// the end of the line (a short string) or of the text (a long string or comment) and is kept.
std::string lua_tokens(std::string_view text);

}  // namespace bitloop::editor
