// Where GPT-2's tokenizer cuts a text before it merges bytes: the regular expression
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// of OpenAI's encoder.py (Radford et al. 2019), written out. Bytes that are no UTF-8 count as one
// character each, neither letter nor number nor space.
#pragma once

#include <cstddef>
#include <string_view>

namespace bitloop::tokenizer {

// The length of the piece that starts at text[begin]. Requires: begin < text.size(), where a piece
// begins.
size_t piece_length(std::string_view text, size_t begin);

// The length of the number's characters (Unicode's N) that start at text[begin]: of the first
// alone, or of all that follow each other; 0 for none.
size_t number_length(std::string_view text, size_t begin, bool first_alone);

// How many bytes at the end of `text` may be the beginning of a character that is not whole yet.
size_t unfinished_character(std::string_view text);

}  // namespace bitloop::tokenizer
