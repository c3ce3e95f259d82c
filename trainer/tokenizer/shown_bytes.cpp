#include "trainer/tokenizer/shown_bytes.h"

#include <algorithm>

namespace bitloop::tokenizer {
namespace {

bool prints(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) ||
         (byte >= 0xae && byte <= 0xff);
}

std::array<uint8_t, 256> make_order() {
  std::array<uint8_t, 256> order{};
  size_t n = 0;
  for (const bool printing : {true, false})
    for (int byte = 0; byte < 256; ++byte)
      if (prints(byte) == printing) order[n++] = static_cast<uint8_t>(byte);
  return order;
}

constexpr size_t kPrinting = 188;  // bytes that print

}  // namespace

const std::array<uint8_t, 256>& bytes_in_order() {
  static const std::array<uint8_t, 256> order = make_order();
  return order;
}

std::optional<std::string> bytes_of_shown(std::string_view shown) {
  const std::array<uint8_t, 256>& order = bytes_in_order();
  std::string bytes;
  for (size_t i = 0; i < shown.size();) {
    const auto lead = static_cast<uint8_t>(shown[i]);
    uint32_t point = lead;
    if (lead < 0x80) {
      ++i;
    } else {
      // Two bytes of UTF-8: characters below U+0180.
      if (lead < 0xc2 || lead > 0xc5 || i + 1 == shown.size()) return std::nullopt;
      point = (lead & 0x1fu) << 6 | (static_cast<uint8_t>(shown[i + 1]) & 0x3fu);
      i += 2;
    }
    if (point < 0x100) {
      if (!prints(static_cast<int>(point))) return std::nullopt;
      bytes += static_cast<char>(point);
    } else {
      const size_t place = kPrinting + (point - 0x100);
      if (place >= order.size()) return std::nullopt;
      bytes += static_cast<char>(order[place]);
    }
  }
  return bytes;
}

std::string shown_byte(uint8_t byte) {
  const std::array<uint8_t, 256>& order = bytes_in_order();
  const auto place = static_cast<size_t>(std::ranges::find(order, byte) - order.begin());
  const size_t point = place < kPrinting ? byte : 0x100 + (place - kPrinting);
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
}

}  // namespace bitloop::tokenizer
