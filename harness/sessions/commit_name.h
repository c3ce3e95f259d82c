// A commit's name in 20 bytes, where its 40 hexadecimal digits as text would take 80 and more.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitloop::sessions {

using CommitName = std::array<uint8_t, 20>;

// Nothing unless `text` is 40 hexadecimal digits.
std::optional<CommitName> packed(std::string_view text);
std::string unpacked(const CommitName& name);

}  // namespace bitloop::sessions
