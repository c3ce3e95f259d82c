#include "trainer/eval/python_text.h"

namespace bitloop::trainer {
namespace {

constexpr std::string_view kSpaces[] = {" ",      "\t",     "\n",     "\v",     "\f",     "\r",
                                        "\x1c",   "\x1d",   "\x1e",   "\x1f",   "\u0085", "\u00a0",
                                        "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                        "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

}  // namespace

size_t space_at(std::string_view text, size_t at) {
  for (const std::string_view space : kSpaces)
    if (text.substr(at).starts_with(space)) return space.size();
  return 0;
}

size_t trailing_spaces(std::string_view text) {
  size_t end = text.size();
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view space : kSpaces)
      if (text.substr(0, end).ends_with(space)) {
        end -= space.size();
        found = true;
      }
  }
  return text.size() - end;
}

int64_t count_words(std::string_view text) {
  int64_t words = 1;
  bool in_space = false;
  for (size_t i = 0; i < text.size();) {
    const size_t space = space_at(text, i);
    if (space > 0 && !in_space) ++words;
    in_space = space > 0;
    i += space > 0 ? space : 1;
  }
  return words;
}

}  // namespace bitloop::trainer
