// The characters by which byte-level vocabularies show bytes (Radford et al. 2019): a byte that
// prints is itself, the others are the characters from U+0100 on.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitloop::tokenizer {

// The bytes in the order of their characters: those that print come first.
const std::array<uint8_t, 256>& bytes_in_order();

// The bytes of a token that is shown so; nullopt where a character stands for none.
std::optional<std::string> bytes_of_shown(std::string_view shown);

// The characters that show a byte, in UTF-8.
std::string shown_byte(uint8_t byte);

}  // namespace bitloop::tokenizer
