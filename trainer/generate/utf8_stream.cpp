#include "trainer/generate/utf8_stream.h"

#include <algorithm>
#include <utility>

namespace bitloop::trainer {
namespace {

// Bytes of the character that begins with this one; 0 for a byte that begins none.
size_t length_of(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  if (first >= 0xF0 && first < 0xF5) return 4;
  return 0;
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

}  // namespace

std::string Utf8Stream::add(std::string_view bytes) {
  held_ += bytes;
  // Only the last three bytes can belong to a character that is not whole.
  for (size_t back = 1; back <= std::min<size_t>(3, held_.size()); ++back) {
    const char byte = held_[held_.size() - back];
    if (continues(byte)) continue;
    if (length_of(static_cast<unsigned char>(byte)) <= back) break;
    std::string whole = held_.substr(0, held_.size() - back);
    held_.erase(0, whole.size());
    return whole;
  }
  return std::exchange(held_, {});
}

}  // namespace bitloop::trainer
