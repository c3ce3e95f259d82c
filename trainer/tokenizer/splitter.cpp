#include "trainer/tokenizer/splitter.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

namespace bitloop::tokenizer {
namespace {

enum Class : uint8_t { kOther, kLetter, kNumber, kSpace };

struct Range {
  uint32_t first, last;
};

#include "trainer/tokenizer/unicode_classes.inc"

// Unicode's White_Space.
constexpr Range kSpaces[] = {{0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                             {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                             {0x205f, 0x205f}, {0x3000, 0x3000}};

constexpr uint32_t kEnd = 0x110000;  // of the code points

struct Classes {
  std::array<uint8_t, kEnd> of{};

  Classes() {
    mark(kLetters, kLetter);
    mark(kNumbers, kNumber);
    mark(kSpaces, kSpace);
  }
  template <size_t N>
  void mark(const Range (&ranges)[N], Class which) {
    for (const Range& range : ranges)
      std::fill(of.begin() + range.first, of.begin() + range.last + 1, which);
  }
};

const Classes& classes() {
  static const std::unique_ptr<const Classes> made = std::make_unique<const Classes>();
  return *made;
}

struct Character {
  Class kind;
  size_t bytes;
};

bool continues(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80;
}

// The character at text[at]; a byte that begins none is one of its own.
Character character(const Classes& table, std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t lead = byte(at);
  if (lead < 0x80) return {static_cast<Class>(table.of[lead]), 1};
  const auto known = [&](uint32_t point, size_t bytes) {
    return Character{static_cast<Class>(table.of[point]), bytes};
  };
  const Character broken = {kOther, 1};
  if (lead < 0xc2 || lead > 0xf4 || !continues(text, at + 1)) return broken;
  uint32_t point = byte(at + 1) & 0x3f;
  if (lead < 0xe0) return known((lead & 0x1f) << 6 | point, 2);
  if (!continues(text, at + 2)) return broken;
  point = point << 6 | (byte(at + 2) & 0x3f);
  if (lead < 0xf0) {
    point |= (lead & 0xf) << 12;
    const bool overlong = point < 0x800, surrogate = point >= 0xd800 && point <= 0xdfff;
    return overlong || surrogate ? broken : known(point, 3);
  }
  if (!continues(text, at + 3)) return broken;
  point = (lead & 7) << 18 | point << 6 | (byte(at + 3) & 0x3f);
  return point < 0x10000 || point >= kEnd ? broken : known(point, 4);
}

// 0 where no contraction stands there.
size_t contraction(std::string_view text, size_t begin) {
  const std::string_view after = text.substr(begin + 1, 2);
  if (after.empty()) return 0;
  if (after[0] == 's' || after[0] == 't' || after[0] == 'm' || after[0] == 'd') return 2;
  return after == "re" || after == "ve" || after == "ll" ? 3 : 0;
}

// The end of the characters of one kind from text[at] on.
size_t run_end(const Classes& table, std::string_view text, size_t at, Class kind) {
  while (at < text.size()) {
    const Character next = character(table, text, at);
    if (next.kind != kind) break;
    at += next.bytes;
  }
  return at;
}

}  // namespace

size_t piece_length(std::string_view text, size_t begin) {
  const Classes& table = classes();
  if (text[begin] == '\'')
    if (const size_t length = contraction(text, begin)) return length;
  const size_t start = text[begin] == ' ' && begin + 1 < text.size() ? begin + 1 : begin;
  if (const Character first = character(table, text, start); first.kind != kSpace)
    return run_end(table, text, start + first.bytes, first.kind) - begin;
  // Spaces: all but the last, which goes with what follows, if something does.
  size_t end = begin, last = begin;
  while (end < text.size()) {
    const Character next = character(table, text, end);
    if (next.kind != kSpace) break;
    last = end;
    end += next.bytes;
  }
  return (end == text.size() || last == begin ? end : last) - begin;
}

size_t number_length(std::string_view text, size_t begin, bool first_alone) {
  const Character first = character(classes(), text, begin);
  if (first.kind != kNumber) return 0;
  return first_alone ? first.bytes : run_end(classes(), text, begin + first.bytes, kNumber) - begin;
}

size_t unfinished_character(std::string_view text) {
  for (size_t bytes = 1; bytes <= std::min<size_t>(3, text.size()); ++bytes) {
    const auto lead = static_cast<uint8_t>(text[text.size() - bytes]);
    if ((lead & 0xc0) == 0x80) continue;
    const size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return whole > bytes ? bytes : 0;
  }
  return 0;
}

}  // namespace bitloop::tokenizer
