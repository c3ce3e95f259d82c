#include "lua/runtime/python_habits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace bitloop::lua {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kConstants = {
    {{"True", "true"}, {"False", "false"}, {"None", "nil"}}};

bool begins_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The end of the long bracket that opens at text[at], or `at` where none does.
size_t long_bracket(std::string_view text, size_t at) {
  size_t level = at + 1;
  while (level < text.size() && text[level] == '=') ++level;
  if (at >= text.size() || text[at] != '[' || level >= text.size() || text[level] != '[') return at;
  const std::string close = "]" + std::string(level - at - 1, '=') + "]";
  const size_t end = text.find(close, level + 1);
  return end == std::string_view::npos ? text.size() : end + close.size();
}

// The end of a comment or text that begins at text[at], or `at`.
size_t skip(std::string_view text, size_t at) {
  if (text.substr(at).starts_with("--")) {
    const size_t end = long_bracket(text, at + 2);
    return end > at + 2 ? end : std::min(text.find('\n', at), text.size());
  }
  if (text[at] == '"' || text[at] == '\'') {
    size_t end = at + 1;
    while (end < text.size() && text[end] != text[at] && text[end] != '\n')
      end += text[end] == '\\' ? 2 : 1;
    return std::min(end + 1, text.size());
  }
  return long_bracket(text, at);
}

}  // namespace

std::string python_constant(std::string_view source, std::string_view file_name) {
  std::array<size_t, kConstants.size()> read;  // where each is read first
  read.fill(source.size());
  std::array<bool, kConstants.size()> defined{};
  char before = ' ';  // the last character that is no space
  for (size_t at = 0; at < source.size();) {
    if (const size_t end = skip(source, at); end > at) {
      at = end;
      before = '"';
      continue;
    }
    if (!begins_name(source[at])) {
      if (std::isspace(static_cast<unsigned char>(source[at])) == 0) before = source[at];
      ++at;
      continue;
    }
    size_t end = at;
    while (end < source.size() && in_name(source[end])) ++end;
    const std::string_view name = source.substr(at, end - at);
    const size_t next = std::min(source.find_first_not_of(" \t\r\n", end), source.size());
    const bool made =
        next < source.size() && source[next] == '=' && !source.substr(next).starts_with("==");
    for (size_t i = 0; i < kConstants.size(); ++i)
      if (name == kConstants[i].first && before != '.' && before != ':') {
        defined[i] = defined[i] || made;
        if (!made) read[i] = std::min(read[i], at);
      }
    before = 'a';
    at = end;
  }
  for (size_t i = 0; i < kConstants.size(); ++i)
    if (read[i] < source.size() && !defined[i])
      return fmt::format(
          "{}:{}: there is no {} in Lua: write {}", file_name,
          1 + std::count(source.begin(), source.begin() + static_cast<long>(read[i]), '\n'),
          kConstants[i].first, kConstants[i].second);
  return "";
}

void add_syntax_hint(std::string& message) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kHints = {{
      {"')' expected near '='",
       "arguments with names go in braces: x:mean{dim = -1, keepdim = true}"},
      {"unexpected symbol near '*'", "a power is x ^ y"},
      {"near '!'", "not equal is ~= for numbers, x:ne(y) for tensors"},
      {"unexpected symbol near '#'", "a comment begins with --"},
      {"syntax error near '+'", "there is no +=: write x = x + y"},
      {"syntax error near '-'", "there is no -=: write x = x - y"},
      {"near 'def'", "a function is: function Q.name(w, ctx) … end"},
  }};
  for (const auto& [found, hint] : kHints)
    if (message.find(found) != std::string::npos) {
      message.append("; ").append(hint);
      return;
    }
}

}  // namespace bitloop::lua
