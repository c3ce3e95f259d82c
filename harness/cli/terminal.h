// What a stream is to people: a terminal, with colours or without.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace bitloop::cli {

bool is_terminal(std::FILE* stream);
// A terminal, and the environment variable NO_COLOR (no-color.org) is empty or not set.
bool has_color(std::FILE* stream);

// Foreign text of several lines, each made harmless for a terminal; ends with a newline unless it
// is empty.
std::string harmless_lines(std::string_view text, std::string_view indent = "");

// A unified diff for a terminal: removed red, added green, places cyan.
std::string colored_diff(std::string_view diff);

}  // namespace bitloop::cli
