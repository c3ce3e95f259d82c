#include "harness/sessions/commit_name.h"

#include <charconv>
#include <system_error>

namespace bitloop::sessions {

std::optional<CommitName> packed(std::string_view text) {
  CommitName name{};
  if (text.size() != 2 * name.size()) return std::nullopt;
  for (size_t i = 0; i < name.size(); ++i) {
    const char* digits = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, name[i], 16);
    if (error != std::errc{} || end != digits + 2) return std::nullopt;
  }
  return name;
}

std::string unpacked(const CommitName& name) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * name.size());
  for (const uint8_t byte : name) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

}  // namespace bitloop::sessions
