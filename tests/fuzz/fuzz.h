// What the fuzz targets share: each defines LLVMFuzzerTestOneInput, takes bytes apart with Input,
// and says with require() what must hold for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace bitloop::fuzz {

// Ends the process when something does not hold: libFuzzer then keeps the input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Bytes as a sequence of choices; when they have run out, all choices are 0 and all texts empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return left_.empty(); }
  uint8_t byte() {
    if (left_.empty()) return 0;
    const auto value = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    return value;
  }
  // A small number, also below zero.
  int64_t number() { return static_cast<int8_t>(byte()); }
  // As long as its first byte says, or as there are bytes.
  std::string text() {
    const size_t size = byte();
    const std::string part(left_.substr(0, size));
    left_.remove_prefix(part.size());
    return part;
  }
  std::string rest() { return std::string(left_.substr(0)); }

 private:
  std::string_view left_;
};

}  // namespace bitloop::fuzz
