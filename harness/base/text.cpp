#include "harness/base/text.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace bitloop {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> split_lines(std::string_view text) {
  if (text.empty()) return {};
  if (text.back() == '\n') text.remove_suffix(1);
  return split(text, '\n');
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

namespace {

// Length of the valid UTF-8 sequence that `text` begins with, 0 when it begins with none. Requires:
// !text.empty().
size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return 1;
  const size_t length = (lead >> 5) == 6 ? 2 : (lead >> 4) == 14 ? 3 : (lead >> 3) == 30 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  uint32_t point = lead & (0x7fu >> length);
  for (size_t k = 1; k < length; ++k) {
    const auto byte = static_cast<uint8_t>(text[k]);
    if ((byte & 0xc0) != 0x80) return 0;
    point = (point << 6) | (byte & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0x80, 0x800, 0x10000};  // shorter forms exist below these
  const bool surrogate = point >= 0xd800 && point < 0xe000;
  return point < kSmallest[length - 2] || point > 0x10ffff || surrogate ? 0 : length;
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string single_line(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view symbol = text.substr(0, length);
    const auto lead = static_cast<uint8_t>(text[0]);
    const bool c1 = length == 2 && lead == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0;
    const bool separator = symbol == "\u2028" || symbol == "\u2029";
    if (length == 0) {
      line += "\ufffd";
    } else if (lead < 0x20 || lead == 0x7f || c1 || separator) {
      line += ' ';
    } else {
      line += symbol;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  const size_t first = line.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return line.substr(first, line.find_last_not_of(' ') - first + 1);
}

std::string format_number(double value) {
  if (!std::isfinite(value)) return "";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return std::string(buffer, end);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

std::string utc_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     now.tv_nsec / 1'000'000);
}

std::string random_hex(size_t bytes) {
  std::string raw(bytes, '\0');
  if (getrandom(raw.data(), raw.size(), 0) != static_cast<ssize_t>(bytes))
    throw std::runtime_error("getrandom gave fewer bytes than asked for");
  std::string text;
  for (const char byte : raw) text += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  return text;
}

}  // namespace bitloop
