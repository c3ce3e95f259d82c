// What a call sees beside its tensors: ctx and layer as read-only Lua tables.
#pragma once

#include "lua/quantizer/quantizer.h"
#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Pushes ctx: step, total_steps, progress, training, layer, params, state.
void push_context(lua_State* L, const Context& context);
// Pushes the layer with one tensor more, under `tensor_name`.
void push_layer(lua_State* L, const Layer& layer, const char* tensor_name,
                const at::Tensor& tensor);

}  // namespace bitloop::lua
