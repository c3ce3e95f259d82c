// Codes at their true cost: as many as fit are written as one number in the base of the levels, so
// that five ternary codes take a byte (3^5 = 243) and three five-level ones seven bits. Numbers of
// `bits` bits follow each other, the lowest bit first; what is left of the last number and the last
// byte is zero. No LibTorch. docs/packing.md describes the file that these bytes stand in.
#pragma once

#include <cstdint>

namespace bitloop::trainer {

struct CodePacking {
  int64_t levels = 2;  // 2 … 65,536
  int codes = 1;       // in a number
  int bits = 1;        // of a number

  // The fewest codes with which a code takes at most 1% more than log2(levels) bits; where no
  // number of at most 57 bits does, which happens from 60 levels on, the one with the fewest bits a
  // code (2.3% more at most). One level takes no bits.
  static CodePacking of(int64_t levels);

  int64_t bytes(int64_t count) const;  // of so many codes
};

// `indices`: 0 … levels - 1 each, `count` of them; `out` has bytes(count).
void pack_codes(const CodePacking& packing, const uint16_t* indices, int64_t count, uint8_t* out);

// The inverse. False where a number stands for no codes (it is levels^codes or more, or what is
// left of the last one is not zero): such bytes were not written by pack_codes.
bool unpack_codes(const CodePacking& packing, const uint8_t* bytes, int64_t count,
                  uint16_t* indices);

}  // namespace bitloop::trainer
