#include "trainer/kernels/code_reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "trainer/kernels/packed_kernels.h"
#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int kMostTableBits = 13;

uint64_t load_window(std::span<const uint8_t> bytes, int64_t bit) {
  const int64_t byte = bit / 8, size = std::ssize(bytes);
  uint64_t word = 0;
  if (byte + 8 <= size)
    std::memcpy(&word, bytes.data() + byte, sizeof word);
  else
    for (int64_t i = byte; i < size; ++i)
      word |= static_cast<uint64_t>(bytes[i]) << (8 * (i - byte));
  return word >> (bit % 8);
}

uint64_t mask_of(int bits) { return (uint64_t{1} << bits) - 1; }

// How many numbers there are: levels^codes.
uint64_t numbers_of(const PackedCodes& packed) {
  uint64_t numbers = 1;
  for (int i = 0; i < packed.codes; ++i) numbers *= static_cast<uint64_t>(packed.levels);
  return numbers;
}

BITLOOP_SIMD uint8_t largest_of(const uint8_t* bytes, int64_t n) {
  constexpr int64_t kPiece = 512, kAhead = 4096;
  uint8_t largest = 0;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    for (int64_t i = 0; i < kPiece; i += 64) __builtin_prefetch(bytes + begin + kAhead + i);
    const int64_t end = std::min(n, begin + kPiece);
    for (int64_t i = begin; i < end; ++i) largest = bytes[i] > largest ? bytes[i] : largest;
  }
  return largest;
}

}  // namespace

bool are_codes(const PackedCodes& packed) {
  const int64_t count = packed.rows * packed.columns, size = std::ssize(packed.bytes);
  if (count == 0) return true;
  const int64_t numbers = (count + packed.codes - 1) / packed.codes;
  const uint64_t all = numbers_of(packed), mask = mask_of(packed.bits);
  // What is left of the last number and of the last byte.
  uint64_t most = 1;
  for (int64_t i = 0; i < count - (numbers - 1) * packed.codes; ++i)
    most *= static_cast<uint64_t>(packed.levels);
  const int64_t last = (numbers - 1) * packed.bits, end = last + packed.bits;
  if ((load_window(packed.bytes, last) & mask) >= most) return false;
  if (end % 8 != 0 && packed.bytes[static_cast<size_t>(size - 1)] >> (end % 8) != 0) return false;
  if (all == mask + 1) return true;  // every number stands for codes
  std::atomic<bool> good = true;
  if (packed.bits == 8) {
    run_parts(size, 1 << 16, [&](int64_t begin, int64_t to) {
      if (largest_of(packed.bytes.data() + begin, to - begin) >= all) good = false;
    });
  } else {
    run_parts(numbers, 1 << 13, [&](int64_t begin, int64_t to) {
      bool here = true;
      for (int64_t i = begin; i < to; ++i)
        here &= (load_window(packed.bytes, i * packed.bits) & mask) < all;
      if (!here) good = false;
    });
  }
  return good;
}

CodeReader::CodeReader(const PackedCodes& packed, std::span<const uint8_t> stands_for)
    : packed_(packed) {
  if (!stands_for.empty()) {
    stands_for_.resize(256);
    std::ranges::copy(stands_for, stands_for_.begin());
  }
  if (packed.bits > kMostTableBits || packed.codes > 8) return;
  const int beside = std::max(1, std::min(8 / packed.codes, 12 / packed.bits));
  table_bits_ = beside * packed.bits;
  table_codes_ = beside * packed.codes;
  table_.resize(size_t{1} << table_bits_);
  const auto levels = static_cast<uint64_t>(packed.levels);
  for (uint64_t word = 0; word < table_.size(); ++word)
    for (int code = 0, part = 0; part < beside; ++part) {
      uint64_t number = word >> (part * packed.bits) & mask_of(packed.bits);
      for (int i = 0; i < packed.codes; ++i, ++code, number /= levels) {
        const auto index = static_cast<uint8_t>(number % levels);
        table_[word] |= static_cast<uint64_t>(stands_for.empty() ? index : stands_for_[index])
                        << (8 * code);
      }
    }
}

uint64_t CodeReader::window(int64_t bit) const { return load_window(packed_.bytes, bit); }

const uint8_t* CodeReader::read(int64_t first, int64_t count, uint8_t* room,
                                Instructions with) const {
  const PackedKernels& kernels = packed_kernels(with);
  const bool whole = stands_for_.empty() && kernels.unpack_bits != nullptr;
  // As many codes as begin and end with a byte.
  const bool bits = packed_.codes == 1 && packed_.bits <= 8 && packed_.levels == 1 << packed_.bits,
             base_three = packed_.levels == 3 && packed_.codes == 5 && packed_.bits == 8;
  const int64_t unit = bits ? 8 : 5, before = first % unit,
                byte = first / unit * (bits ? packed_.bits : 1);
  const int64_t readable = std::ssize(packed_.bytes) - byte;
  const uint8_t* const from = packed_.bytes.data() + byte;
  if (whole && bits) {
    kernels.unpack_bits(from, readable, packed_.bits, before + count, room);
    return room + before;
  }
  if (whole && base_three) {
    kernels.unpack_base_three(from, readable, before + count, room);
    return room + before;
  }
  if (table_.empty())
    read_by_division(first, count, room);
  else
    read_by_table(first, count, room);
  return room;
}

void CodeReader::read_by_table(int64_t first, int64_t count, uint8_t* out) const {
  const uint64_t mask = mask_of(table_bits_);
  const int64_t skip = first % packed_.codes;
  int64_t bit = first / packed_.codes * packed_.bits;
  uint8_t* const end = out + count;
  // The entry is written whole: what lies behind its codes, the next one covers.
  const auto put = [&](uint64_t codes) { std::memcpy(out, &codes, sizeof codes); };
  if (skip > 0 && count > 0) {
    put(table_[window(bit) & mask] >> (8 * skip));
    out += table_codes_ - skip;
    bit += table_bits_;
  }
  // As long as whole windows can be loaded without looking at the end.
  const int64_t safe = (std::ssize(packed_.bytes) - 8) * 8;
  const uint8_t* const bytes = packed_.bytes.data();
  while (out < end && bit <= safe) {
    uint64_t word;
    std::memcpy(&word, bytes + bit / 8, sizeof word);
    put(table_[word >> (bit % 8) & mask]);
    out += table_codes_;
    bit += table_bits_;
  }
  while (out < end) {
    put(table_[window(bit) & mask]);
    out += table_codes_;
    bit += table_bits_;
  }
}

void CodeReader::read_by_division(int64_t first, int64_t count, uint8_t* out) const {
  const auto levels = static_cast<uint64_t>(packed_.levels);
  int64_t skip = first % packed_.codes, bit = first / packed_.codes * packed_.bits;
  for (int64_t done = 0; done < count; bit += packed_.bits) {
    uint64_t number = window(bit) & mask_of(packed_.bits);
    for (int64_t i = 0; i < packed_.codes && done < count; ++i, number /= levels) {
      const auto index = static_cast<uint8_t>(number % levels);
      if (skip > 0)
        --skip;
      else
        out[done++] = stands_for_.empty() ? index : stands_for_[index];
    }
  }
}

}  // namespace bitloop::kernels
