// Byte pair encoding of one piece of text (Sennrich et al. 2016): of all neighbours that have a
// merge, those of the lowest rank become one token, again and again; of equal ranks the first in
// the text goes first.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace bitloop::tokenizer {

class BytePairs {
 public:
  // `merges`: about how many will be added.
  explicit BytePairs(size_t merges);

  void set_byte(uint8_t byte, int32_t token) { token_of_byte_[byte] = token; }
  // `rank`: lower ones go first. Of a pair that comes again the last counts.
  void add(int32_t left, int32_t right, int32_t rank, int32_t merged);

  // Appends the tokens of the piece. Requires: every byte has a token.
  void encode(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  static constexpr int32_t kNone = std::numeric_limits<int32_t>::max();
  // Open addressing: a look is one or two cache lines.
  struct Slot {
    int32_t left = 0, right = 0, rank = kNone, merged = 0;
  };

  size_t place(int32_t left, int32_t right) const;
  const Slot& find(int32_t left, int32_t right) const;
  void grow();
  void encode_short(std::string_view piece, std::vector<int32_t>& out) const;
  void encode_long(std::string_view piece, std::vector<int32_t>& out) const;

  std::array<int32_t, 256> token_of_byte_{};
  std::vector<Slot> slots_;
  int bits_ = 0;  // of the slots' number
  size_t used_ = 0;
};

}  // namespace bitloop::tokenizer
