// Commits that tests can read: the letters of a word in hexadecimal digits.
#pragma once

#include <fmt/format.h>

#include <string>

namespace bitloop::sessions {

inline std::string name_of(const std::string& word) {
  std::string name;
  for (const char letter : word) name += fmt::format("{:02x}", letter);
  name.resize(40, '0');
  return name;
}

inline std::string word_of(const std::string& name) {
  std::string letters;
  for (size_t i = 0; i < name.size() && name.substr(i, 2) != "00"; i += 2)
    letters += static_cast<char>(std::stoi(name.substr(i, 2), nullptr, 16));
  return letters;
}

}  // namespace bitloop::sessions
