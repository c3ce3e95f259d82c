// A candidate's text in the guest, without tensors: it is loaded and run under its limits, and what
// it returns is read as a quantizer's declaration. It may fail, with one line that says where; it
// may not take more than it was given, nor make the next run in the same state fail.
#include <fmt/format.h>

#include "lua/quantizer/format_reader.h"
#include "lua/runtime/environment.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"
#include "tests/fuzz/fuzz.h"

namespace bitloop::lua {
namespace {

using fuzz::require;

constexpr Limits kLimits = {.lua_bytes = 4u << 20,
                            .tensor_bytes = 0,
                            .load_seconds = 0.5,
                            .call_seconds = 0.5,
                            .instructions = 100'000};

// As Quantizer does, but for tensors.
void load(lua_State* L, std::string_view source) {
  push_environment(L);
  const int environment = lua_gettop(L);
  if (luaL_loadbufferx(L, source.data(), source.size(), "=candidate.lua", "t") != LUA_OK)
    lua_error(L);
  lua_pushvalue(L, environment);
  lua_setupvalue(L, -2, 1);
  lua_call(L, 0, 1);
  if (lua_type(L, -1) != LUA_TTABLE) raise(L, fmt::format("got {}", describe(L, -1)));
  const int Q = lua_gettop(L);
  read_format(L, Q);
  read_config(L, Q);
  protect_reachable(L, Q, "read-only");
}

void check_error(Error error) {
  require(error.code == "script_error" || error.code == "timeout" || error.code == "out_of_memory",
          "a script's failure has a status of a test");
  require(error.message.starts_with("candidate.lua:"), "it says in which file");
  require(error.message.find('\n') == std::string::npos, "it is one line");
  add_absent_hint(error.message);
}

}  // namespace
}  // namespace bitloop::lua

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloop::lua;
  if (size > kMaxSourceBytes) return 0;
  Guest guest(kLimits, "candidate.lua");
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto ran = guest.run(kLimits.load_seconds, [&](lua_State* L) { load(L, source); });
  if (!ran) check_error(ran.error());
  require(guest.bytes() <= kLimits.lua_bytes, "memory stays within its limit");
  const auto again = guest.run(kLimits.call_seconds, [](lua_State* L) {
    // What is left of the first run may fill the memory.
    lua_gc(L, LUA_GCCOLLECT);
    lua_pushinteger(L, 1);
  });
  if (!again) check_error(again.error());
  return 0;
}
