// References from LibTorch's graphs into a Lua state. A graph can be dropped at any moment, even
// while Lua collects garbage or after the state is gone; so references are freed later, and nothing
// of Lua is touched once the guest is gone.
#pragma once

#include <memory>
#include <vector>

#include "lua/runtime/guest.h"

namespace bitloop::lua {

struct Registry {
  Guest* guest = nullptr;    // null once the state is gone
  std::vector<int> pending;  // references to free when the next call begins

  void release_later(int reference) {
    if (guest) pending.push_back(reference);
  }
  // Frees what is pending. Requires: inside Guest::run, not in a finalizer.
  void release_pending(lua_State* L) {
    for (int reference : pending) luaL_unref(L, LUA_REGISTRYINDEX, reference);
    pending.clear();
  }
  static const std::shared_ptr<Registry>& of(lua_State* L) { return Guest::of(L).registry; }
};

}  // namespace bitloop::lua
