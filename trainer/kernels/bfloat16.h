// Rounding to bfloat16, which is handed over as its upper 16 bits.
#pragma once

#include <bit>
#include <cstdint>

namespace bitloop::kernels {

// Round to nearest even; NaN stays NaN (its payload is dropped).
__attribute__((always_inline)) inline uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(value != value ? 0x7fc0u : rounded);
}

__attribute__((always_inline)) inline float from_bfloat16(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

}  // namespace bitloop::kernels
