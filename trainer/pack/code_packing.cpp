#include "trainer/pack/code_packing.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace bitloop::trainer {
namespace {

constexpr double kMostWaste = 1.01;
constexpr int kMostBits = 57;  // what a 64-bit window that begins anywhere in a byte can hold

// levels^codes. Requires: it fits.
uint64_t numbers_of(const CodePacking& packing) {
  uint64_t numbers = 1;
  for (int i = 0; i < packing.codes; ++i) numbers *= static_cast<uint64_t>(packing.levels);
  return numbers;
}

// Little-endian bytes [0, size) of which at most 8 are read.
uint64_t load(const uint8_t* bytes, int64_t size) {
  uint64_t value = 0;
  for (int64_t i = 0; i < std::min<int64_t>(8, size); ++i)
    value |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

CodePacking CodePacking::of(int64_t levels) {
  CodePacking best{levels, 1, static_cast<int>(std::bit_width(static_cast<uint64_t>(levels - 1)))};
  const double needed = std::log2(static_cast<double>(levels));
  uint64_t numbers = 1;
  for (int codes = 1;; ++codes) {
    if (__builtin_mul_overflow(numbers, static_cast<uint64_t>(levels), &numbers)) return best;
    const auto bits = static_cast<int>(std::bit_width(numbers - 1));
    if (bits > kMostBits) return best;
    // With less waste than the best so far, in case none is good enough.
    if (static_cast<int64_t>(bits) * best.codes < static_cast<int64_t>(best.bits) * codes)
      best = {levels, codes, bits};
    if (best.bits <= kMostWaste * needed * best.codes) return best;
  }
}

int64_t CodePacking::bytes(int64_t count) const {
  const int64_t numbers = (count + codes - 1) / codes;
  return (numbers * bits + 7) / 8;
}

void pack_codes(const CodePacking& packing, const uint16_t* indices, int64_t count, uint8_t* out) {
  const int64_t size = packing.bytes(count);
  std::fill_n(out, size, uint8_t{0});
  int64_t bit = 0;
  for (int64_t first = 0; first < count; first += packing.codes, bit += packing.bits) {
    uint64_t number = 0;
    for (int64_t i = std::min<int64_t>(packing.codes, count - first); i-- > 0;)
      number = number * static_cast<uint64_t>(packing.levels) + indices[first + i];
    number <<= bit % 8;
    for (int64_t byte = bit / 8; number != 0; ++byte, number >>= 8)
      out[byte] = static_cast<uint8_t>(out[byte] | (number & 0xff));
  }
}

bool unpack_codes(const CodePacking& packing, const uint8_t* bytes, int64_t count,
                  uint16_t* indices) {
  const int64_t size = packing.bytes(count);
  const auto levels = static_cast<uint64_t>(packing.levels);
  const uint64_t mask = (uint64_t{1} << packing.bits) - 1, numbers = numbers_of(packing);
  int64_t bit = 0;
  for (int64_t first = 0; first < count; first += packing.codes, bit += packing.bits) {
    uint64_t number = load(bytes + bit / 8, size - bit / 8) >> (bit % 8) & mask;
    if (number >= numbers) return false;
    const int64_t n = std::min<int64_t>(packing.codes, count - first);
    for (int64_t i = 0; i < n; ++i, number /= levels)
      indices[first + i] = static_cast<uint16_t>(number % levels);
    if (number != 0) return false;
  }
  return bit % 8 == 0 || bytes[size - 1] >> (bit % 8) == 0;
}

}  // namespace bitloop::trainer
