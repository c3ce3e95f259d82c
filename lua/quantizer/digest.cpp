#include "lua/quantizer/digest.h"

#include <ATen/ATen.h>

#include <string_view>

#include "lua/runtime/protect.h"
#include "harness/base/sha256.h"
#include "lua/runtime/work_list.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

namespace {

template <typename T>
void add_plain(Sha256& hash, const T& value) {
  hash.add(&value, sizeof(value));
}

void add_tensor(Sha256& hash, lua_State* L, int index) {
  const auto* userdata = static_cast<const LuaTensor*>(lua_touserdata(L, index));
  add_plain(hash, lua_topointer(L, index));
  if (!userdata->value.defined()) return;
  const at::Tensor value = userdata->value.detach().to(at::kCPU).contiguous();
  for (int64_t size : value.sizes()) add_plain(hash, size);
  hash.add(value.const_data_ptr(), value.nbytes());
}

// Adds the value on top of the stack, notes it as work when it leads on, and pops it.
void add_value(Sha256& hash, lua_State* L, WorkList& work) {
  const int type = lua_type(L, -1);
  add_plain(hash, type);
  switch (type) {
    case LUA_TBOOLEAN:
      add_plain(hash, lua_toboolean(L, -1));
      break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, -1)) {
        add_plain(hash, lua_tointeger(L, -1));
      } else {
        hash.add("f");
        add_plain(hash, lua_tonumber(L, -1));
      }
      break;
    case LUA_TSTRING: {
      size_t size = 0;
      const char* text = lua_tolstring(L, -1, &size);
      add_plain(hash, size);
      hash.add(text, size);
      break;
    }
    case LUA_TUSERDATA:
      add_tensor(hash, L, lua_gettop(L));
      break;
    case LUA_TTABLE:
    case LUA_TFUNCTION:
      add_plain(hash, lua_topointer(L, -1));
      break;
    default:
      break;
  }
  work.take();
}

}  // namespace

std::string digest_reachable(lua_State* L, int index) {
  index = lua_absindex(L, index);
  Sha256 hash;
  WorkList work(L);
  lua_pushvalue(L, index);
  add_value(hash, L, work);
  while (const int item = work.next()) {
    if (lua_type(L, item) == LUA_TTABLE) {
      push_content(L, item);
      push_sorted_keys(L, item, false);
      const auto count = static_cast<lua_Integer>(lua_rawlen(L, -1));
      for (lua_Integer i = 1; i <= count; ++i) {
        lua_rawgeti(L, item + 2, i);
        lua_pushvalue(L, -1);
        add_value(hash, L, work);
        lua_rawget(L, item + 1);
        add_value(hash, L, work);
      }
    } else {
      for (int i = 1; lua_getupvalue(L, item, i) != nullptr; ++i) add_value(hash, L, work);
    }
  }
  return hash.finish();
}

}  // namespace bitloop::lua
