// What a candidate may use up.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitloop::lua {

// Limits of one Lua state. Once one has fired nothing in the file can hold it back; the next call
// starts afresh.
struct Limits {
  size_t lua_bytes = 64u << 20;    // Lua's own allocations
  size_t tensor_bytes = 1u << 30;  // live tensors that Lua made (tensors handed in are not counted)
  double load_seconds = 2.0;  // the thread's processor time of loading the file
  double call_seconds = 5.0;  // and of one call from C++
  int64_t instructions = 50'000'000;  // Lua instructions of one call
};

// Longer sources are refused unread.
// Ten times the longest file of quantizers/, and far too little to carry trained weights that Q.init
// could put in (a ternary `tiny` would need 160 KB).
inline constexpr size_t kMaxSourceBytes = 32u << 10;

}  // namespace bitloop::lua
