#include "lua/quantizer/results.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "lua/runtime/protect.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

namespace {

// Raises "candidate.lua:17: weight_quant must return …".
[[noreturn]] void must_return(const Returned& returned, std::string_view expected,
                              const std::string& got) {
  raise(returned.L, fmt::format("{}{} must return {}, got {}", returned.position, returned.function,
                                expected, got));
}

// "codes, nil": the kinds of all results.
std::string kinds(const Returned& returned) {
  if (returned.count == 0) return "nothing";
  std::string text;
  for (int i = 1; i <= std::min(returned.count, 5); ++i) {
    text += (i > 1 ? ", " : "") + describe(returned.L, i);
  }
  return returned.count > 5 ? text + ", …" : text;
}

// A tensor as float32, a number as a 0-d tensor; undefined for anything else.
at::Tensor to_tensor(lua_State* L, int index) {
  if (lua_type(L, index) == LUA_TNUMBER)
    return at::full({}, lua_tonumber(L, index),
                    at::TensorOptions(at::kFloat).device(TensorHeap::of(L).device()));
  const at::Tensor* value = TensorHeap::of(L).find(L, index);
  return value ? value->to(at::kFloat) : at::Tensor();
}

// The names in the table at `index`, all strings, all allowed when `allowed` is not empty.
std::vector<std::string> names_of(const Returned& returned, int index, std::string_view what,
                                  std::vector<std::string_view> allowed) {
  lua_State* L = returned.L;
  std::vector<std::string> names;
  push_sorted_keys(L, index, true);
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i) {
    if (lua_type(L, -1) != LUA_TSTRING) {
      must_return(returned, fmt::format("{} with names as keys", what), describe(L, -1));
    }
    names.emplace_back(lua_tostring(L, -1));
    if (!allowed.empty() &&
        std::find(allowed.begin(), allowed.end(), names.back()) == allowed.end()) {
      must_return(returned, fmt::format("{} of {}", what, fmt::join(allowed, ", ")),
                  fmt::format("the field '{}'", names.back()));
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  return names;
}

at::Tensor owned(const at::Tensor& value) {
  return value.detach().clone(at::MemoryFormat::Contiguous);
}

double optional_number(const Returned& returned, int table, const char* field, double otherwise) {
  lua_State* L = returned.L;
  double value = otherwise;
  if (lua_getfield(L, table, field) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER || !std::isfinite(lua_tonumber(L, -1))) {
      must_return(returned, fmt::format("params whose {} is a finite number", field),
                  describe(L, -1));
    }
    value = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

}  // namespace

Quantized take_quantized(const Returned& returned, bool codebook) {
  lua_State* L = returned.L;
  Quantized result;
  if (returned.count == 1 && lua_type(L, 1) == LUA_TTABLE) {
    const struct {
      const char* name;
      at::Tensor& target;
    } fields[] = {{"codes", result.codes},
                  {"scale", result.scale},
                  {"offset", result.offset},
                  {"codebook", result.codebook},
                  {"surrogate", result.surrogate}};
    names_of(returned, 1, "codes, scale or a table",
             {"codes", "scale", "offset", "codebook", "surrogate"});
    for (const auto& field : fields) {
      if (lua_getfield(L, 1, field.name) != LUA_TNIL) {
        field.target = to_tensor(L, -1);
        if (!field.target.defined()) {
          must_return(returned, fmt::format("a Tensor or a number as {}", field.name),
                      describe(L, -1));
        }
      }
      lua_pop(L, 1);
    }
    if (!result.codes.defined())
      must_return(returned, "codes, scale or a table with codes", "a table without codes");
    if (codebook && !result.codebook.defined()) {
      must_return(returned, "{codes = …, codebook = …} where Q.codebook is declared",
                  "a table without codebook");
    }
    if (!codebook && result.codebook.defined()) {
      must_return(returned,
                  "codes, scale (only weight_quant with Q.codebook declared may return one)",
                  "a codebook");
    }
    if (!codebook && !result.scale.defined()) {
      must_return(returned, "codes, scale or a table with both", "a table without scale");
    }
    return result;
  }
  if (codebook) {
    must_return(returned, "a table {codes = …, codebook = …} where Q.codebook is declared",
                kinds(returned));
  }
  if (returned.count != 2) {
    must_return(returned,
                returned.count > 2
                    ? "codes, scale (more goes into a table: {codes = …, scale = …, surrogate = …})"
                    : "codes, scale",
                kinds(returned));
  }
  result.codes = to_tensor(L, 1);
  result.scale = to_tensor(L, 2);
  if (!result.codes.defined() || !result.scale.defined()) {
    must_return(returned, "codes, scale (Tensors or numbers)", kinds(returned));
  }
  return result;
}

// Names stand in files' headers, once a layer: they must not become the file.
constexpr size_t kMaxNames = 64, kMaxNameBytes = 64;

// The names of `params` or `state`.
std::vector<std::string> stored_names(const Returned& returned, int index, const char* what) {
  std::vector<std::string> names = names_of(returned, index, what, {});
  if (names.size() > kMaxNames)
    must_return(returned, fmt::format("{} with at most {} names", what, kMaxNames),
                fmt::format("{} names", names.size()));
  for (const std::string& name : names)
    if (name.size() > kMaxNameBytes)
      must_return(returned, fmt::format("{} with names of at most {} bytes", what, kMaxNameBytes),
                  fmt::format("a name of {} bytes", name.size()));
  return names;
}

InitResult take_init(const Returned& returned) {
  constexpr std::string_view kExpected = "a table {params = …, state = …, weight = …}";
  lua_State* L = returned.L;
  InitResult result;
  if (returned.count == 0 || (returned.count == 1 && lua_isnil(L, 1))) return result;
  if (returned.count != 1 || lua_type(L, 1) != LUA_TTABLE)
    must_return(returned, kExpected, kinds(returned));
  names_of(returned, 1, "a table", {"params", "state", "weight"});
  if (lua_getfield(L, 1, "params") != LUA_TNIL) {
    const int params = lua_gettop(L);
    if (lua_type(L, params) != LUA_TTABLE)
      must_return(returned, "params = {name = {value = …}}", describe(L, params));
    for (const std::string& name : stored_names(returned, params, "params")) {
      lua_getfield(L, params, name.c_str());
      const int entry = lua_gettop(L);
      InitResult::Param param;
      if (lua_type(L, entry) == LUA_TTABLE) {
        names_of(returned, entry, "params with entries", {"value", "lr_scale", "weight_decay"});
        lua_getfield(L, entry, "value");
        param.lr_scale = optional_number(returned, entry, "lr_scale", 1);
        param.weight_decay = optional_number(returned, entry, "weight_decay", 0);
      }
      param.value = to_tensor(L, -1);
      if (!param.value.defined()) {
        must_return(returned, fmt::format("params.{} = {{value = Tensor}}", name), describe(L, -1));
      }
      param.value = owned(param.value);
      result.params[name] = param;
      lua_settop(L, params);
    }
  }
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "state") != LUA_TNIL) {
    const int state = lua_gettop(L);
    if (lua_type(L, state) != LUA_TTABLE)
      must_return(returned, "state = {name = Tensor}", describe(L, state));
    for (const std::string& name : stored_names(returned, state, "state")) {
      lua_getfield(L, state, name.c_str());
      const at::Tensor value = to_tensor(L, -1);
      if (!value.defined())
        must_return(returned, fmt::format("state.{} = Tensor", name), describe(L, -1));
      result.state[name] = owned(value);
      lua_pop(L, 1);
    }
  }
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "weight") != LUA_TNIL) {
    const at::Tensor value = to_tensor(L, -1);
    if (!value.defined() || value.dim() != 2)
      must_return(returned, "weight as a Tensor (N, K)", describe(L, -1));
    result.weight = owned(value);
  }
  return result;
}

double take_share(const Returned& returned) {
  const at::Tensor value = returned.count == 1 ? to_tensor(returned.L, 1) : at::Tensor();
  if (!value.defined() || value.numel() != 1)
    must_return(returned, "a number from 0 to 1", kinds(returned));
  const double share =
      lua_type(returned.L, 1) == LUA_TNUMBER ? lua_tonumber(returned.L, 1) : value.item<double>();
  if (!(share >= 0 && share <= 1))
    must_return(returned, "a number from 0 to 1", fmt::format("{}", share));
  return share;
}

at::Tensor take_tensor(const Returned& returned, std::string_view expected) {
  const at::Tensor value = returned.count == 1 ? to_tensor(returned.L, 1) : at::Tensor();
  if (!value.defined()) must_return(returned, expected, kinds(returned));
  return value;
}

at::Tensor take_scalar(const Returned& returned) {
  const at::Tensor value = take_tensor(returned, "one number");
  if (value.numel() != 1)
    must_return(returned, "one number", fmt::format("a Tensor of {}", value.numel()));
  return value.reshape({});
}

std::map<std::string, at::Tensor> take_state(const Returned& returned,
                                             const std::map<std::string, at::Tensor>* state) {
  constexpr std::string_view kExpected =
      "the new state: a table with the same names and shapes as ctx.state";
  lua_State* L = returned.L;
  if (returned.count != 1 || lua_type(L, 1) != LUA_TTABLE)
    must_return(returned, kExpected, kinds(returned));
  std::map<std::string, at::Tensor> result;
  for (const std::string& name : names_of(returned, 1, "a table", {})) {
    lua_getfield(L, 1, name.c_str());
    const at::Tensor value = to_tensor(L, -1);
    if (!value.defined())
      must_return(returned, kExpected, fmt::format("{} as {}", describe(L, -1), name));
    if (!state || !state->contains(name))
      must_return(returned, kExpected, fmt::format("a new name '{}'", name));
    if (value.sizes() != state->at(name).sizes()) {
      must_return(returned, kExpected,
                  fmt::format("{} of shape ({}), not ({})", name, fmt::join(value.sizes(), ", "),
                              fmt::join(state->at(name).sizes(), ", ")));
    }
    result[name] = owned(value);
    lua_pop(L, 1);
  }
  for (const auto& [name, value] : state ? *state : std::map<std::string, at::Tensor>{}) {
    if (!result.contains(name))
      must_return(returned, kExpected, fmt::format("a table without '{}'", name));
  }
  return result;
}

}  // namespace bitloop::lua
