// Memory asked for before it is read: a processor guesses runs within a page, not across one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitloop::kernels {

// Asks for these bytes, which the calling thread is to read soon, into its second cache.
inline void ask_for(std::span<const uint8_t> bytes) {
  constexpr size_t kLine = 64;
  for (size_t i = 0; i < bytes.size(); i += kLine) __builtin_prefetch(bytes.data() + i, 0, 2);
}

}  // namespace bitloop::kernels
