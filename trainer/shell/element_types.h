// The number types of files, by the names that NumPy and safetensors give them, and how many
// numbers a file may hold.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

namespace bitloop::trainer::shell {

struct ElementType {
  std::string_view npy;          // without the byte order: "f4"
  std::string_view safetensors;  // "F32"; empty where that format has none
  at::ScalarType type;
  uint64_t bytes;
};

inline constexpr ElementType kElementTypes[] = {
    {"f4", "F32", at::kFloat, 4},   {"f8", "F64", at::kDouble, 8}, {"f2", "F16", at::kHalf, 2},
    {"", "BF16", at::kBFloat16, 2}, {"i8", "I64", at::kLong, 8},   {"i4", "I32", at::kInt, 4},
    {"i2", "I16", at::kShort, 2},   {"i1", "I8", at::kChar, 1},    {"u1", "U8", at::kByte, 1},
    {"b1", "BOOL", at::kBool, 1},
};

inline constexpr uint64_t kMaxTensorBytes = uint64_t{1} << 30;  // of one file, as float32

// How many numbers a shape has, at most as many as may be read; nothing for a shape with more or
// one whose strides overflow.
inline std::optional<uint64_t> count_of(at::IntArrayRef shape) {
  uint64_t count = 1, strides = 1;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    const auto number = static_cast<uint64_t>(size);
    if (__builtin_mul_overflow(strides, std::max<uint64_t>(number, 1), &strides) ||
        strides > kMaxTensorBytes)
      return std::nullopt;
    count *= number;
  }
  if (count > kMaxTensorBytes / 4) return std::nullopt;
  return count;
}

}  // namespace bitloop::trainer::shell
