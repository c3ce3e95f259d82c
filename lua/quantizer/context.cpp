#include "lua/quantizer/context.h"

#include "lua/capture/tracer.h"
#include "lua/runtime/protect.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

namespace {

constexpr const char* kReadOnly = "ctx and layer are read-only; after_step returns the new state";

void set_text(lua_State* L, const char* name, const std::string& value) {
  lua_pushlstring(L, value.data(), value.size());
  lua_setfield(L, -2, name);
}
void set_whole(lua_State* L, const char* name, int64_t value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

void push_layer_fields(lua_State* L, const Layer& layer) {
  lua_createtable(L, 0, 8);
  set_text(L, "name", layer.name);
  set_text(L, "kind", layer.kind);
  set_whole(L, "index", layer.index);
  set_whole(L, "count", layer.count);
  set_whole(L, "in_features", layer.in_features);
  set_whole(L, "out_features", layer.out_features);
}

void push_tensors(lua_State* L, const std::map<std::string, at::Tensor>* tensors) {
  lua_createtable(L, 0, tensors ? static_cast<int>(tensors->size()) : 0);
  if (tensors) {
    for (const auto& [name, value] : *tensors) {
      lua_pushlstring(L, name.data(), name.size());
      TensorHeap::of(L).push(L, value, true);
      lua_rawset(L, -3);
    }
  }
  protect(L, -1, kReadOnly);
}

// Reads ctx.name (upvalue: the content); a recording notices who reads what changes from step to
// step.
int read_context(lua_State* L) {
  if (Tracer* tracer = TensorHeap::of(L).tracer; tracer && lua_type(L, 2) == LUA_TSTRING) {
    const std::string_view name = lua_tostring(L, 2);
    if (name == "step" || name == "progress") tracer->step_read();
    if (name == "layer") tracer->layer_read();
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

}  // namespace

void push_layer(lua_State* L, const Layer& layer,
                std::initializer_list<std::pair<const char*, at::Tensor>> tensors) {
  luaL_checkstack(L, 8, "layer");
  push_layer_fields(L, layer);
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) continue;
    TensorHeap::of(L).push(L, tensor, true);
    lua_setfield(L, -2, name);
  }
  protect(L, -1, kReadOnly);
}

void push_context(lua_State* L, const Context& context) {
  luaL_checkstack(L, 12, "ctx");
  lua_createtable(L, 0, 8);
  set_whole(L, "step", context.step);
  set_whole(L, "total_steps", context.total_steps);
  lua_pushnumber(L, context.total_steps > 0 ? static_cast<double>(context.step) /
                                                  static_cast<double>(context.total_steps)
                                            : 0.0);
  lua_setfield(L, -2, "progress");
  lua_pushboolean(L, context.training);
  lua_setfield(L, -2, "training");
  if (context.layer) {
    push_layer_fields(L, *context.layer);
    protect(L, -1, kReadOnly);
    lua_setfield(L, -2, "layer");
  }
  push_tensors(L, context.params);
  lua_setfield(L, -2, "params");
  push_tensors(L, context.state);
  lua_setfield(L, -2, "state");
  protect(L, -1, kReadOnly);
  lua_getmetatable(L, -1);
  push_content(L, -2);
  lua_pushcclosure(L, guarded<read_context>, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

}  // namespace bitloop::lua
