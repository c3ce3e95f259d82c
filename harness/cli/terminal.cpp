#include "harness/cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "harness/base/text.h"

namespace bitloop::cli {

bool is_terminal(std::FILE* stream) { return ::isatty(::fileno(stream)) == 1; }

bool has_color(std::FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  return is_terminal(stream) && (no_color == nullptr || *no_color == '\0');
}

std::string harmless_lines(std::string_view text, std::string_view indent) {
  std::string result;
  for (const std::string& line : split_lines(text))
    result += fmt::format("{}{}\n", indent, single_line(line));
  return result;
}

std::string colored_diff(std::string_view diff) {
  std::string result;
  size_t number = 0;
  for (const std::string& line : split_lines(diff)) {
    const char* color = "";
    if (++number <= 2)
      color = "\x1b[1m";
    else if (line.starts_with('-'))
      color = "\x1b[31m";
    else if (line.starts_with('+'))
      color = "\x1b[32m";
    else if (line.starts_with("@@"))
      color = "\x1b[36m";
    result += fmt::format("{}{}{}\n", color, line, *color == '\0' ? "" : "\x1b[0m");
  }
  return result;
}

}  // namespace bitloop::cli
