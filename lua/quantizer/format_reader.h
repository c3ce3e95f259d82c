// Reads and checks the fields of Q that are not functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "lua/quantizer/quantizer.h"
#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// The fields of Q that are no functions.
inline constexpr std::string_view kFieldNames[] = {
    "name",        "doc",   "levels",           "bits",
    "codebook",    "group", "flat_groups",      "activation_bits",
    "scale_dtype", "blend", "requantize_every", "transform",
    "config",
};
// The functions that Q may hold.
inline constexpr std::string_view kFunctionNames[] = {
    "weight_quant", "activation_quant", "init",       "lambda", "row_bias",
    "input",        "regularizer",      "after_step",
};

// Reads the table at `index`. Raises a Lua error that names the field, what was expected and what
// came; unknown fields are refused with a suggestion.
Format read_format(lua_State* L, int index);
// Q.config as JSON; {} when absent.
nlohmann::json read_config(lua_State* L, int index);

}  // namespace bitloop::lua
