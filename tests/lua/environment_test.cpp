// The allow-list, walked: everything that a fresh environment reaches, against a golden list.
#include "lua/runtime/environment.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"
#include "lua/tensor/operation.h"
#include "lua/tensor/tensor_heap.h"
#include "lua/tensor/tensor_type.h"

namespace bitloop::lua {
namespace {

// Appends a path for every function and value that the value on top of the stack reaches, and pops
// it.
void walk(lua_State* L, const std::string& path, std::set<const void*>& seen,
          std::vector<std::string>& found) {
  luaL_checkstack(L, 8, "walk");
  const int type = lua_type(L, -1);
  if (type == LUA_TTABLE || type == LUA_TFUNCTION) {
    if (!seen.insert(lua_topointer(L, -1)).second) {
      lua_pop(L, 1);
      return;
    }
  }
  if (type == LUA_TTABLE) {
    push_content(L, -1);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
      const std::string key = display(L, -2);
      walk(L, path.empty() ? key : path + "." + key, seen, found);
    }
    lua_pop(L, 1);
  } else {
    found.push_back(path);
    if (type == LUA_TFUNCTION) {
      for (int i = 1; const char* name = lua_getupvalue(L, -1, i); ++i) {
        if (lua_type(L, -1) == LUA_TLIGHTUSERDATA) {
          lua_pop(L, 1);
        } else {
          walk(L, fmt::format("{}<{}{}>", path, name, i), seen, found);
        }
      }
    }
  }
  lua_pop(L, 1);
}

TEST(EnvironmentTest, ReachesExactlyTheGoldenList) {
  Guest guest(Limits{}, "golden");
  TensorHeap heap(guest);
  std::vector<std::string> found;
  const Status status = guest.run(10, [&](lua_State* L) {
    push_environment(L);
    install_tensors(L);
    std::set<const void*> seen;
    walk(L, "", seen, found);
  });
  ASSERT_TRUE(status) << status.error().message;
  std::vector<std::string> expected = {
      "assert",       "error",          "ipairs",           "pairs",        "pcall",
      "select",       "tonumber",       "tostring",         "type",         "math.abs",
      "math.acos",    "math.asin",      "math.atan",        "math.ceil",    "math.cos",
      "math.deg",     "math.exp",       "math.floor",       "math.fmod",    "math.huge",
      "math.log",     "math.max",       "math.maxinteger",  "math.min",     "math.mininteger",
      "math.modf",    "math.pi",        "math.rad",         "math.sin",     "math.sqrt",
      "math.tan",     "math.tointeger", "math.type",        "math.ult",     "string.byte",
      "string.char",  "string.format",  "string.format<1>", "string.len",   "string.lower",
      "string.rep",   "string.reverse", "string.sub",       "string.upper", "table.concat",
      "table.insert", "table.pack",     "table.remove",     "table.sort",   "table.unpack"};
  for (const Group& group : all_groups()) {
    for (const Operation& operation : group.operations) {
      const std::string name(bind(operation).name);
      if (operation.forms & kTorch) expected.push_back("torch." + name);
      if (operation.forms & kBitloop) expected.push_back("bitloop." + name);
    }
  }
  EXPECT_THAT(found, ::testing::UnorderedElementsAreArray(expected));
}

TEST(EnvironmentTest, TheRegistryAndGlobalsHoldNoLibrary) {
  Guest guest(Limits{}, "golden");
  TensorHeap heap(guest);
  const Status status = guest.run(10, [&](lua_State* L) {
    push_environment(L);
    install_tensors(L);
    lua_pushglobaltable(L);
    lua_pushnil(L);
    EXPECT_FALSE(lua_next(L, -2));
    EXPECT_EQ(lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE), LUA_TNIL);
  });
  EXPECT_TRUE(status) << status.error().message;
}

TEST(EnvironmentTest, AReleasedTensorIsAnError) {
  Guest guest(Limits{}, "golden");
  TensorHeap heap(guest);
  const Status status = guest.run(10, [&](lua_State* L) {
    push_environment(L);
    install_tensors(L);
    heap.push(L, at::ones({3}));
    heap.release_since(0);
    EXPECT_EQ(heap.live_bytes(), 0u);
    lua_getfield(L, -2, "torch");
    lua_getfield(L, -1, "abs");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 0);
  });
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, ::testing::HasSubstr("belongs to an earlier call"));
}

TEST(EnvironmentTest, StoragesAreCountedOnce) {
  Guest guest(Limits{}, "golden");
  TensorHeap heap(guest);
  const Status status = guest.run(10, [&](lua_State* L) {
    push_environment(L);
    install_tensors(L);
    const at::Tensor mine = at::ones({100}), theirs = at::ones({100});
    heap.push(L, mine);
    EXPECT_EQ(heap.live_bytes(), 400u);
    heap.push(L, mine.view({10, 10}));
    EXPECT_EQ(heap.live_bytes(), 400u);
    heap.push(L, theirs, true);
    heap.push(L, theirs.view({10, 10}));
    EXPECT_EQ(heap.live_bytes(), 400u);
    lua_settop(L, 0);
    lua_gc(L, LUA_GCCOLLECT);
    EXPECT_EQ(heap.live_bytes(), 0u);
  });
  EXPECT_TRUE(status) << status.error().message;
}

// A machine that sleeps, or has no time for this process, is no fault of the file's.
TEST(GuestTest, OnlyProcessorTimeCounts) {
  Guest guest(Limits{}, "golden");
  const Status status = guest.run(0.1, [&](lua_State* L) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ASSERT_EQ(luaL_loadstring(L, "for _ = 1, 10000 do end"), LUA_OK);
    lua_call(L, 0, 0);
  });
  EXPECT_TRUE(status) << status.error().message;
}

}  // namespace
}  // namespace bitloop::lua
