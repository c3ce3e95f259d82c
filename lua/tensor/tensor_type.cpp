#include "lua/tensor/tensor_type.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lua/capture/tracer.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"
#include "lua/tensor/operation.h"
#include "lua/tensor/operators.h"
#include "lua/tensor/other_names.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

namespace {

int missing_name(lua_State* L) {  // upvalue: "torch" or "bitloop"
  const char* library = lua_tostring(L, lua_upvalueindex(1));
  if (lua_type(L, 2) != LUA_TSTRING)
    raise(L, fmt::format("{} has no field {}", library, describe(L, 2)));
  const std::string name = lua_tostring(L, 2);
  const std::string hint = suggest_operation(name);
  raise(L, fmt::format("there is no {}.{}{}", library, name, hint.empty() ? "" : ": " + hint));
}

// x.name: a method; x[i]: the i-th slice along dimension 0.
int tensor_index(lua_State* L) {  // upvalue: methods
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  const at::Tensor* self = TensorHeap::of(L).find(L, 1);
  if (!self) raise(L, "a Tensor is expected");
  int whole = 0;
  const lua_Integer place = lua_type(L, 2) == LUA_TNUMBER ? lua_tointegerx(L, 2, &whole) : 0;
  if (whole) {
    TensorHeap& heap = TensorHeap::of(L);
    if (heap.tracer && heap.tracer->depends(*self)) heap.tracer->give_up("x[i] is not captured");
    if (self->dim() == 0)
      raise(L,
            fmt::format("x[{}]: a tensor without dimensions has no slices: use x:item()", place));
    if (place < -self->size(0) || place >= self->size(0)) {
      raise(L,
            fmt::format("x[{}]: dimension 0 has {} slices, counted from 0", place, self->size(0)));
    }
    heap.push(L, at::select(*self, 0, place));
    return 1;
  }
  if (lua_type(L, 2) != LUA_TSTRING) {
    raise(L, fmt::format(
                 "a Tensor is indexed by a whole number from 0, got {}; use narrow or index_select",
                 describe(L, 2)));
  }
  const std::string name = lua_tostring(L, 2);
  const std::string hint = suggest_operation(name);
  raise(L, fmt::format("a Tensor has no method '{}'{}", name, hint.empty() ? "" : ": " + hint));
}

int tensor_newindex(lua_State* L) {
  raise(L,
        "tensors can't be changed in place: make a new one with torch.where, torch.cat or "
        "torch.stack");
}

void fill(lua_State* L, int table, Form form) {
  for (const BoundOperation& bound : bound_operations()) {
    if (!(bound.operation->forms & form)) continue;
    lua_pushlstring(L, bound.name.data(), bound.name.size());
    lua_pushlightuserdata(L, const_cast<BoundOperation*>(&bound));
    lua_pushcclosure(L, invoke, 1);
    lua_rawset(L, table);
  }
}

// f.name where f is a function: NumPy's x.shape[0] is x:size(0) here.
int index_function(lua_State* L) {
  raise(L, fmt::format("a function has no field {}: call it first, as in x:shape()[1] or x:size(0)",
                       describe(L, 2)));
}

void add_library(lua_State* L, const char* name, Form form) {
  lua_newtable(L);
  const int library = lua_gettop(L);
  fill(L, library, form);
  protect(L, library, "the libraries are read-only");
  push_content(L, library);  // reads of names that are not in the content raise a suggestion
  lua_createtable(L, 0, 2);
  lua_pushstring(L, name);
  lua_pushcclosure(L, guarded<missing_name>, 1);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_settop(L, library);
  lua_setfield(L, -2, name);
}

}  // namespace

void install_tensors(lua_State* L) {
  const int environment = lua_gettop(L);
  luaL_checkstack(L, 12, "install_tensors");
  lua_newtable(L);
  const int metatable = lua_gettop(L);
  lua_newtable(L);
  fill(L, lua_gettop(L), kMethod);
  lua_pushcclosure(L, guarded<tensor_index>, 1);
  lua_setfield(L, metatable, "__index");
  lua_pushcfunction(L, guarded<tensor_newindex>);
  lua_setfield(L, metatable, "__newindex");
  lua_pushcfunction(L, TensorHeap::collect);
  lua_setfield(L, metatable, "__gc");
  lua_pushboolean(L, 0);
  lua_setfield(L, metatable, "__metatable");
  lua_pushliteral(L, "Tensor");
  lua_setfield(L, metatable, "__name");
  add_operators(L, metatable);
  TensorHeap::of(L).metatable = lua_topointer(L, metatable);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kTensorMetatable);
  lua_pushcfunction(L, guarded<index_function>);  // its metatable is that of all functions
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, guarded<index_function>);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
  add_library(L, "torch", kTorch);
  add_library(L, "bitloop", kBitloop);
  lua_settop(L, environment);
}

}  // namespace bitloop::lua
