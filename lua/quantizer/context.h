// What a call sees beside its tensors: ctx and layer as read-only Lua tables.
#pragma once

#include <initializer_list>
#include <utility>

#include "lua/quantizer/quantizer.h"
#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// Pushes ctx: step, total_steps, progress, training, layer, params, state.
void push_context(lua_State* L, const Context& context);
// Pushes the layer with these tensors more, by name; undefined ones are left out.
void push_layer(lua_State* L, const Layer& layer,
                std::initializer_list<std::pair<const char*, at::Tensor>> tensors);

}  // namespace bitloop::lua
