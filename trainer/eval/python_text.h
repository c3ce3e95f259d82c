// White space as Python's str has it (strip, split, \s): lm-evaluation-harness is written in
// Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitloop::trainer {

// Bytes of the space that stands at text[at]; 0 where none does.
size_t space_at(std::string_view text, size_t at);
// Bytes of the spaces that text ends with.
size_t trailing_spaces(std::string_view text);
// How many parts re.split(r"\s+", text) makes: empty ends count.
int64_t count_words(std::string_view text);

}  // namespace bitloop::trainer
