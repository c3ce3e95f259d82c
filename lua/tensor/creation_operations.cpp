// New tensors, and tensors as other types or as Lua values.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

constexpr int64_t kMaxListElements = 1 << 20;  // of torch.tensor and tolist

int filled(Call& c, const std::vector<int64_t>& size, const at::Scalar& value) {
  c.reserve(size);
  return c.push(at::full(size, value, c.options()));
}
int zeros(Call& c) { return filled(c, c.sizes(0), 0); }
int ones(Call& c) { return filled(c, c.sizes(0), 1); }
int full(Call& c) { return filled(c, c.sizes(0), c.number(1)); }

int filled_like(Call& c, const at::Scalar& value) {
  const at::Tensor& x = c.tensor(0);
  return c.push(at::full(x.sizes(), value, x.options().dtype(at::kFloat)));
}

int arange(Call& c) {
  // arange(stop), arange(start, stop) or arange(start, stop, step)
  const double first = c.number(0);
  const double start = c.has(1) ? first : 0, stop = c.has(1) ? c.number(1) : first;
  const double step = c.number(2);
  const double count = std::ceil((stop - start) / step);
  if (!std::isfinite(count) || count < 0) {
    c.fail(fmt::format("can't count from {} to {} in steps of {}", start, stop, step));
  }
  c.reserve({}, count);
  return c.push(at::arange(start, stop, step, c.options()));
}

int linspace(Call& c) {
  const int64_t steps = c.integer(2);
  if (steps < 0) c.fail("steps can't be negative");
  c.reserve({steps});
  return c.push(at::linspace(c.scalar(0), c.scalar(1), steps, c.options()));
}

int eye(Call& c) {
  const int64_t rows = c.integer(0), columns = c.has(1) ? c.integer(1) : rows;
  if (rows < 0 || columns < 0) c.fail("sizes can't be negative");
  c.reserve({rows, columns});
  return c.push(at::eye(rows, columns, c.options()));
}

constexpr size_t kMaxDepth = 8;

// The shape of a nested list, filled while it is read.
struct ListShape {
  std::array<int64_t, kMaxDepth> sizes{};
  size_t depth = 0;
};

// Appends the numbers of a nested list at `index`; checks that it is rectangular.
void read_list(Call& c, int index, size_t depth, ListShape& shape, std::vector<float>& values) {
  lua_State* L = c.lua();
  if (depth == kMaxDepth) c.fail("the list is nested too deeply");
  luaL_checkstack(L, 4, "tensor");
  const auto length = static_cast<int64_t>(luaL_len(L, index));
  if (shape.depth == depth) shape.sizes[shape.depth++] = length;
  if (shape.sizes[depth] != length) {
    c.fail(
        fmt::format("the list is not rectangular: {} and {} elements", shape.sizes[depth], length));
  }
  for (lua_Integer i = 1; i <= length; ++i) {
    const int type = lua_geti(L, index, i);
    if (type == LUA_TTABLE) {
      if (!values.empty() && shape.depth == depth + 1) c.fail("the list mixes numbers and lists");
      read_list(c, lua_gettop(L), depth + 1, shape, values);
    } else if (type == LUA_TNUMBER) {
      if (shape.depth > depth + 1) c.fail("the list mixes numbers and lists");
      if (values.size() == kMaxListElements) c.fail("the list is too long");
      values.push_back(static_cast<float>(lua_tonumber(L, -1)));
    } else {
      c.fail(fmt::format("the list must hold numbers, got {}{}", describe(L, -1),
                         type == LUA_TUSERDATA ? "; torch.stack joins tensors" : ""));
    }
    lua_pop(L, 1);
  }
}

int tensor(Call& c) {
  if (c.is_number(0)) return c.push(at::full({}, c.number(0), c.options()));
  if (c.is_tensor(0)) return c.push(c.tensor(0).detach().clone());
  if (!c.has(0) || lua_type(c.lua(), c.slot(0)) != LUA_TTABLE)
    c.wrong_type(0, "a number or a list of numbers");
  ListShape shape;
  std::vector<float> values;
  read_list(c, c.slot(0), 0, shape, values);
  at::Tensor result = at::empty({static_cast<int64_t>(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), result.data_ptr<float>());
  return c.push(result.view(at::IntArrayRef(shape.sizes.data(), shape.depth)));
}

int item(Call& c) {
  const at::Tensor& x = c.tensor(0);
  if (x.numel() != 1)
    c.fail(fmt::format("works on one-element tensors, this one has {}", x.numel()));
  if (x.scalar_type() == at::kLong) {
    lua_pushinteger(c.lua(), x.item<int64_t>());
  } else {
    lua_pushnumber(c.lua(), x.item<double>());
  }
  return 1;
}

void push_list(lua_State* L, const at::Tensor& x) {
  luaL_checkstack(L, 4, "tolist");
  if (x.dim() == 0) {
    if (x.scalar_type() == at::kLong) {
      lua_pushinteger(L, x.item<int64_t>());
    } else {
      lua_pushnumber(L, x.item<double>());
    }
    return;
  }
  Guest::of(L).check(L);
  lua_createtable(L, static_cast<int>(x.size(0)), 0);
  for (int64_t i = 0; i < x.size(0); ++i) {
    push_list(L, x[i]);
    lua_rawseti(L, -2, i + 1);
  }
}
int tolist(Call& c) {
  if (c.tensor(0).numel() > kMaxListElements) c.fail("the tensor is too large for a list");
  push_list(c.lua(), c.tensor(0).detach().cpu());
  return 1;
}

int dtype(Call& c) {
  const at::ScalarType type = c.tensor(0).scalar_type();
  lua_pushstring(c.lua(), type == at::kBool ? "bool" : type == at::kLong ? "int64" : "float32");
  return 1;
}

constexpr Operation kCreation[] = {
    {"zeros(size...)", "all 0, float32", zeros, kTorch},
    {"ones(size...)", "all 1", ones, kTorch},
    {"full(size: Dims, fill_value: number)", "all the same; size is a list", full, kTorch},
    {"zeros_like(x)", "all 0, in x's shape", [](Call& c) { return filled_like(c, 0); }, kTorch},
    {"ones_like(x)", "all 1, in x's shape", [](Call& c) { return filled_like(c, 1); }, kTorch},
    {"full_like(x, fill_value: number)", "all the same, in x's shape",
     [](Call& c) { return filled_like(c, c.number(1)); }, kTorch},
    {"tensor(data: list)", "from a number or a (nested) list of numbers", tensor, kTorch},
    {"arange(start: number, stop: number=nil, step: number=1)",
     "start, start + step, … below stop; arange(n) counts from 0", arange, kTorch},
    {"linspace(start: number, stop: number, steps: integer)",
     "steps numbers from start to stop, both included", linspace, kTorch},
    {"eye(n: integer, m: integer=nil)", "the identity matrix", eye, kTorch},
};

constexpr Operation kConversion[] = {
    {"item(x) -> value: number", "the one element, as a Lua number (cuts the gradient)", item},
    {"tolist(x) -> values: list", "the elements as nested Lua lists", tolist},
    {"dtype(x) -> name: string", "\"float32\", \"bool\" or \"int64\"", dtype},
    {"float(x)", "as float32", [](Call& c) { return c.push(c.tensor(0).to(at::kFloat)); }},
    {"int(x)", "as int64, rounded towards 0",
     [](Call& c) { return c.push(c.tensor(0).to(at::kLong)); }},
    {"bool(x)", "as bool: is not 0", [](Call& c) { return c.push(c.tensor(0).to(at::kBool)); }},
    {"type_as(x, other)", "as other's type",
     [](Call& c) { return c.push(c.tensor(0).to(c.tensor(1).scalar_type())); }},
    {"detach(x)", "the same numbers without a gradient",
     [](Call& c) { return c.push(c.tensor(0).detach()); }},
    {"clone(x)", "a copy, with its gradient", [](Call& c) { return c.push(c.tensor(0).clone()); }},
    {"requires_grad(x) -> flows: boolean", "true or false: a gradient flows through x",
     [](Call& c) {
       lua_pushboolean(c.lua(), c.tensor(0).requires_grad());
       return 1;
     }},
};

}  // namespace

std::span<const Operation> creation_operations() { return kCreation; }
std::span<const Operation> conversion_operations() { return kConversion; }

std::vector<Group> all_groups() {
  return {
      {"New tensors", creation_operations(), "creation"},
      {"Arithmetic", arithmetic_operations(), "arithmetic"},
      {"Functions, element by element", math_operations(), "math"},
      {"Comparisons (results are bool; in arithmetic they count as 0 and 1)",
       comparison_operations(), "comparison"},
      {"Reductions", reduction_operations(), "reduction"},
      {"Sorting", sorting_operations(), "sorting"},
      {"Shapes", shape_operations(), "shape"},
      {"Picking elements", indexing_operations(), "indexing"},
      {"Matrix products", matrix_operations(), "matrix"},
      {"Types and Lua values", conversion_operations(), "conversion"},
      {"What PyTorch has not: the table bitloop", bitloop_operations(), "bitloop"},
  };
}

}  // namespace bitloop::lua
