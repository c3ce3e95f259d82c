// Packed codes (docs/packing.md) read back a run at a time, from where they lie: nothing is
// unpacked as a whole. Bytes may be hostile; what is no code gives some code, never a place out of
// bounds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bitloop::kernels {

// The codes of a weight (rows, columns), row by row without gaps: `codes` of them make a number in
// the base of `levels`, numbers of `bits` bits follow each other, the lowest bit first. Requires:
// levels 2 … 256, bits <= 57, and as many bytes as the codes take. The bytes are the caller's.
struct PackedCodes {
  int64_t rows = 0, columns = 0;
  int levels = 2, codes = 1, bits = 1;
  std::span<const uint8_t> bytes;
};

// Whether every number stands for codes, and what is left at the end is zero: what unpack_codes
// demands, without keeping a code. In all threads.
bool are_codes(const PackedCodes& packed);

// What a processor may have; tests ask for each that is there, all others for the best.
enum class Instructions { kPlain, kAvx2, kAvx512 };
Instructions best_instructions();

class CodeReader {
 public:
  static constexpr int64_t kSlack = 80;  // bytes that are written beside the codes

  // `stands_for`: what is written for a code, `levels` bytes; empty: the code itself, 0 … levels
  // - 1.
  explicit CodeReader(const PackedCodes& packed, std::span<const uint8_t> stands_for = {});

  // Codes [first, first + count), counted through all rows, into `room` (count + kSlack bytes):
  // where in it they stand.
  const uint8_t* read(int64_t first, int64_t count, uint8_t* room, Instructions with) const;

 private:
  uint64_t window(int64_t bit) const;  // 57 bits from there on, zeros behind the end
  void read_by_table(int64_t first, int64_t count, uint8_t* out) const;
  void read_by_division(int64_t first, int64_t count, uint8_t* out) const;

  PackedCodes packed_;
  std::vector<uint8_t> stands_for_;  // 256, or empty
  // Of some numbers beside each other: their codes, a byte each, the first one lowest.
  std::vector<uint64_t> table_;
  int table_bits_ = 0, table_codes_ = 0;
};

}  // namespace bitloop::kernels
