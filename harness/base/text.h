// Text helpers: lines, numbers that read back exactly, time stamps.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bitloop {

// Splits at '\n'; a final newline does not make an empty last line. "" has no lines.
std::vector<std::string> split_lines(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
bool is_valid_utf8(std::string_view text);
// Foreign text made harmless for a field of one line: line ends, tabs and other control characters
// become spaces, bytes that are not UTF-8 become U+FFFD; spaces at both ends are dropped.
std::string single_line(std::string_view text);
// Shortest decimal that reads back to the same double (locale-free). NaN and infinities give "".
std::string format_number(double value);
// Insertions, deletions and changes of a byte that turn one text into the other (Levenshtein 1966).
size_t edit_distance(std::string_view a, std::string_view b);
// Now in UTC, ISO 8601 with milliseconds: 2026-01-31T12:34:56.789Z.
std::string utc_now();
// `bytes` bytes from the kernel's random source, in hexadecimal.
std::string random_hex(size_t bytes);

}  // namespace bitloop
