#include "lua/quantizer/format_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lua/runtime/protect.h"

namespace bitloop::lua {

namespace {

constexpr int64_t kMaxBits = 16;
constexpr int64_t kMaxLevels = 1 << 16;
constexpr int64_t kMaxBlock = 1 << 30;
constexpr int kMaxConfigDepth = 8;

[[noreturn]] void wrong(lua_State* L, std::string_view field, std::string_view expected) {
  raise(L, fmt::format("{} must be {}, got {}", field, expected, describe(L, -1)));
}

// Pushes the field; false when it is nil.
bool push_field(lua_State* L, int table, const char* name) {
  return lua_getfield(L, table, name) != LUA_TNIL;
}

int64_t whole_number(lua_State* L, std::string_view field, std::string_view expected, int64_t low,
                     int64_t high) {
  int whole = 0;
  const lua_Integer value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &whole) : 0;
  if (!whole || value < low || value > high) wrong(L, field, expected);
  return value;
}

int64_t read_whole(lua_State* L, int table, const char* field, std::string_view expected,
                   int64_t low, int64_t high) {
  const int64_t value =
      push_field(L, table, field) ? whole_number(L, field, expected, low, high) : 0;
  lua_pop(L, 1);
  return value;
}

std::string read_text(lua_State* L, int table, const char* field) {
  std::string value;
  if (push_field(L, table, field)) {
    if (lua_type(L, -1) != LUA_TSTRING) wrong(L, field, "a string");
    value = lua_tostring(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

bool read_flag(lua_State* L, int table, const char* field) {
  bool value = false;
  if (push_field(L, table, field)) {
    if (lua_type(L, -1) != LUA_TBOOLEAN) wrong(L, field, "true or false");
    value = lua_toboolean(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

std::vector<double> read_levels(lua_State* L, int table) {
  constexpr std::string_view kExpected = "a list of distinct finite numbers";
  std::vector<double> levels;
  if (push_field(L, table, "levels")) {
    if (lua_type(L, -1) != LUA_TTABLE) wrong(L, "levels", kExpected);
    const auto count = static_cast<int64_t>(luaL_len(L, -1));
    if (count < 1 || count > kMaxLevels) {
      raise(L, fmt::format("levels must be {}, got {} elements", kExpected, count));
    }
    for (int64_t i = 1; i <= count; ++i) {
      lua_geti(L, -1, i);
      if (lua_type(L, -1) != LUA_TNUMBER || !std::isfinite(lua_tonumber(L, -1))) {
        raise(L,
              fmt::format("levels must be {}, got {} at place {}", kExpected, describe(L, -1), i));
      }
      levels.push_back(lua_tonumber(L, -1));
      lua_pop(L, 1);
    }
    std::sort(levels.begin(), levels.end());
    const auto twice = std::adjacent_find(levels.begin(), levels.end());
    if (twice != levels.end())
      raise(L, fmt::format("levels must be {}, got {} twice", kExpected, *twice));
  }
  lua_pop(L, 1);
  return levels;
}

// A field that is a table with these names only.
void check_names(lua_State* L, std::string_view field, const std::vector<std::string_view>& names) {
  push_sorted_keys(L, -1, true);
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i) {
    const std::string name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : describe(L, -1);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      raise(L,
            fmt::format("{} has no field '{}': it holds {}", field, name, fmt::join(names, ", ")));
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

void read_codebook(lua_State* L, int table, Format& format) {
  if (push_field(L, table, "codebook")) {
    if (lua_type(L, -1) != LUA_TTABLE) wrong(L, "codebook", "a table {entries = 8, block = 128}");
    check_names(L, "codebook", {"entries", "block"});
    const int codebook = lua_gettop(L);
    format.codebook_entries =
        read_whole(L, codebook, "entries", "a whole number from 2 to 65536", 2, kMaxLevels);
    format.codebook_block = read_whole(L, codebook, "block", "a whole number from 1", 1, kMaxBlock);
    if (!format.codebook_entries || !format.codebook_block) {
      raise(L, "codebook needs both entries and block: {entries = 8, block = 128}");
    }
  }
  lua_pop(L, 1);
}

void read_transform(lua_State* L, int table, Format& format) {
  if (push_field(L, table, "transform")) {
    constexpr std::string_view kExpected = "{kind = \"hadamard\", block = 128}";
    if (lua_type(L, -1) != LUA_TTABLE) wrong(L, "transform", kExpected);
    check_names(L, "transform", {"kind", "block"});
    const int transform = lua_gettop(L);
    const std::string kind = read_text(L, transform, "kind");
    if (kind != "hadamard")
      raise(L, fmt::format("transform must be {}, got kind '{}'", kExpected, kind));
    format.hadamard_block =
        read_whole(L, transform, "block", "a power of two from 2 to 4096", 2, 4096);
    if (!format.hadamard_block || (format.hadamard_block & (format.hadamard_block - 1))) {
      raise(L, fmt::format("transform.block must be a power of two from 2 to 4096, got {}",
                           format.hadamard_block));
    }
  }
  lua_pop(L, 1);
}

void check_fields(lua_State* L, int table) {
  push_sorted_keys(L, table, false);
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i) {
    if (lua_type(L, -1) != LUA_TSTRING) raise(L, fmt::format("Q has no field {}", describe(L, -1)));
    const std::string_view name = lua_tostring(L, -1);
    std::vector<std::string_view> known(std::begin(kFieldNames), std::end(kFieldNames));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      const bool is_function = std::find(std::begin(kFunctionNames), std::end(kFunctionNames),
                                         name) != std::end(kFunctionNames);
      if (!is_function) {
        known.insert(known.end(), std::begin(kFunctionNames), std::end(kFunctionNames));
        const std::string best = nearest(name, known);
        raise(L, fmt::format("Q has no field '{}'{}", name,
                             best.empty() ? ": docs/lua.md lists the fields"
                                          : fmt::format(", did you mean '{}'?", best)));
      }
      if (lua_getfield(L, table, lua_tostring(L, -1)) != LUA_TFUNCTION)
        wrong(L, name, "a function");
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

bool is_function(lua_State* L, int table, const char* name) {
  const bool found = lua_getfield(L, table, name) == LUA_TFUNCTION;
  lua_pop(L, 1);
  return found;
}

// The value on top of the stack; `path` names it in messages.
nlohmann::json to_json(lua_State* L, const std::string& path, int depth) {
  if (depth > kMaxConfigDepth) raise(L, fmt::format("{} is nested too deeply", path));
  luaL_checkstack(L, 8, "config");
  switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
      return static_cast<bool>(lua_toboolean(L, -1));
    case LUA_TSTRING:
      return std::string(lua_tostring(L, -1));
    case LUA_TNUMBER:
      if (lua_isinteger(L, -1)) return static_cast<int64_t>(lua_tointeger(L, -1));
      if (!std::isfinite(lua_tonumber(L, -1))) wrong(L, path, "a finite number");
      return lua_tonumber(L, -1);
    case LUA_TTABLE:
      break;
    default:
      wrong(L, path, "a number, a boolean, a string or a table of these");
  }
  const int table = lua_gettop(L);
  push_sorted_keys(L, table, true);
  const int keys = lua_gettop(L);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, keys));
  const auto length = static_cast<lua_Integer>(luaL_len(L, table));
  const bool is_list = count > 0 && length == count;
  nlohmann::json value = is_list ? nlohmann::json::array() : nlohmann::json::object();
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, keys, i);
    if (!is_list && lua_type(L, -1) != LUA_TSTRING) {
      raise(L, fmt::format("{} must have string keys or be a list, got the key {}", path,
                           describe(L, -1)));
    }
    const std::string key = is_list ? std::to_string(i) : lua_tostring(L, -1);
    lua_gettable(L, table);
    nlohmann::json element = to_json(L, fmt::format("{}.{}", path, key), depth + 1);
    lua_pop(L, 1);
    if (is_list) {
      value.push_back(std::move(element));
    } else {
      value[key] = std::move(element);
    }
  }
  lua_settop(L, table);
  return value;
}

}  // namespace

Format read_format(lua_State* L, int index) {
  luaL_checkstack(L, 16, "fields");
  const int Q = lua_absindex(L, index);
  check_fields(L, Q);
  Format format;
  format.name = read_text(L, Q, "name");
  format.doc = read_text(L, Q, "doc");
  format.levels = read_levels(L, Q);
  const int64_t bits = read_whole(L, Q, "bits", "a whole number from 1 to 16", 1, kMaxBits);
  read_codebook(L, Q, format);
  if ((!format.levels.empty()) + (bits > 0) + (format.codebook_entries > 0) > 1) {
    raise(L, "only one of levels, bits and codebook can say which values a weight takes");
  }
  for (int64_t i = 0; bits && i < (int64_t{1} << bits); ++i) {
    format.levels.push_back(static_cast<double>(i - (int64_t{1} << (bits - 1))));
  }
  format.group = read_whole(L, Q, "group", "a whole number from 1", 1, kMaxBlock);
  format.flat_groups = read_flag(L, Q, "flat_groups");
  if (format.flat_groups && !format.group)
    raise(L, "flat_groups needs group, the number of weights that share a scale");
  if (const int64_t wide = read_whole(L, Q, "activation_bits", "4, 8 or 16", 4, 16)) {
    if (wide != 4 && wide != 8 && wide != 16)
      raise(L, fmt::format("activation_bits must be 4, 8 or 16, got {}", wide));
    format.activation_bits = static_cast<int>(wide);
  }
  if (const std::string dtype = read_text(L, Q, "scale_dtype"); !dtype.empty()) {
    if (dtype != "float16" && dtype != "float32") {
      raise(L, fmt::format("scale_dtype must be \"float16\" or \"float32\", got '{}'", dtype));
    }
    format.scale_dtype = dtype == "float32" ? at::kFloat : at::kHalf;
  }
  if (const std::string blend = read_text(L, Q, "blend"); !blend.empty()) {
    if (blend != "weight" && blend != "output") {
      raise(L, fmt::format("blend must be \"weight\" or \"output\", got '{}'", blend));
    }
    format.blend_output = blend == "output";
  }
  format.requantize_every =
      read_whole(L, Q, "requantize_every", "a whole number from 0", 0, kMaxBlock);
  read_transform(L, Q, format);
  format.quantizes_weights = is_function(L, Q, "weight_quant");
  format.quantizes_activations = is_function(L, Q, "activation_quant");
  if (format.quantizes_weights && format.levels.empty() && !format.codebook_entries) {
    raise(L,
          "weight_quant needs levels, bits or codebook: which values may a weight take before "
          "scaling?");
  }
  return format;
}

nlohmann::json read_config(lua_State* L, int index) {
  nlohmann::json config = nlohmann::json::object();
  const int Q = lua_absindex(L, index);
  if (push_field(L, Q, "config")) {
    if (lua_type(L, -1) != LUA_TTABLE) wrong(L, "config", "a table");
    config = to_json(L, "config", 0);
    if (!config.is_object())
      raise(L, "config must have string keys, such as {learning_rate = 1e-3}, got a list");
  }
  lua_pop(L, 1);
  return config;
}

}  // namespace bitloop::lua
