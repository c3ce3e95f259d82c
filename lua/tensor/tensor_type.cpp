#include "lua/tensor/tensor_type.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "lua/capture/tracer.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"
#include "lua/tensor/operation.h"
#include "lua/tensor/operators.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

namespace {

// Bound once for all states; its elements' addresses are the upvalues of the C functions.
const std::deque<BoundOperation>& bound_operations() {
  static const std::deque<BoundOperation> bound = [] {
    std::deque<BoundOperation> all;
    for (const Group& group : all_groups()) {
      for (const Operation& operation : group.operations) all.push_back(bind(operation));
    }
    return all;
  }();
  return bound;
}

// Names of other libraries, and of PyTorch's that are absent, with what to write instead.
constexpr std::pair<std::string_view, std::string_view> kElsewhere[] = {
    {"absolute", "use abs"},
    {"clip", "use clamp"},
    {"cmax", "use maximum"},
    {"cmin", "use minimum"},
    {"cmul", "use mul or *"},
    {"cdiv", "use div or /"},
    {"cadd", "use add or +"},
    {"csub", "use sub or -"},
    {"mod", "use remainder or %"},
    {"power", "use pow or ^"},
    {"concatenate", "use cat"},
    {"concat", "use cat"},
    {"hstack", "use cat"},
    {"vstack", "use cat"},
    {"repeat", "it is a Lua keyword: use tile"},
    {"nElement", "use numel"},
    {"nDimension", "use dim"},
    {"ndim", "use dim"},
    {"ndimension", "use dim"},
    {"astype", "use float, int or bool"},
    {"to", "use float, int or bool; tensors stay on their device"},
    {"type", "use dtype"},
    {"double", "tensors are float32"},
    {"half", "tensors are float32; scales are rounded to scale_dtype outside"},
    {"long", "use int"},
    {"cpu", "tensors stay on their device"},
    {"cuda", "tensors stay on their device"},
    {"T", "use t()"},
    {"mT", "use transpose(-1, -2)"},
    {"array", "use torch.tensor"},
    {"Tensor", "use torch.tensor or torch.zeros"},
    {"empty", "use torch.zeros"},
    {"empty_like", "use torch.zeros_like"},
    {"asarray", "use torch.tensor"},
    {"fill", "use torch.full_like"},
    {"zero", "use torch.zeros_like"},
    {"apply", "use torch.where and elementwise operations"},
    {"map", "use torch.where and elementwise operations"},
    {"resize", "use reshape"},
    {"masked_fill", "use torch.where"},
    {"masked_select", "use torch.where"},
    {"index_add", "use matmul with a one-hot matrix"},
    {"scatter", "use torch.where, or matmul with a one-hot matrix"},
    {"einsum", "use matmul, permute and sum"},
    {"fix", "use trunc"},
    {"average", "use mean"},
    {"size_average", "use mean"},
    {"bitwise_and", "use logical_and"},
    {"bitwise_or", "use logical_or"},
    {"max_all", "use amax"},
    {"data", "use detach()"},
    {"grad", "gradients are for bitloop.autograd"},
    {"backward", "gradients are for bitloop.autograd"},
    {"requires_grad_", "parameters come from Q.init"},
    {"hardtanh", "use clamp"},
    {"rand", "there is no randomness here: results must repeat"},
    {"randn", "there is no randomness here: results must repeat"},
    {"randint", "there is no randomness here: results must repeat"},
    {"rand_like", "there is no randomness here: results must repeat"},
    {"randn_like", "there is no randomness here: results must repeat"},
    {"randperm", "there is no randomness here: results must repeat"},
    {"bernoulli", "there is no randomness here: results must repeat"},
    {"multinomial", "there is no randomness here: results must repeat"},
    {"normal", "there is no randomness here: results must repeat"},
    {"uniform", "there is no randomness here: results must repeat"},
    {"dropout", "there is no randomness here: results must repeat"},
    {"manual_seed", "there is no randomness here: results must repeat"},
    {"save", "there are no files here"},
    {"load", "there are no files here"},
};

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

std::string suggest_operation(std::string_view name) {
  for (const auto& [other, hint] : kElsewhere) {
    if (other == name) return std::string(hint);
  }
  if (name.size() > 1 && name.ends_with('_')) {
    const std::string base(name.substr(0, name.size() - 1));
    return fmt::format("nothing works in place: use x = x:{}(…)", base);
  }
  std::vector<std::string_view> names;
  for (const BoundOperation& bound : bound_operations()) names.push_back(bound.name);
  const std::string best = nearest(name, names);
  if (best.empty()) return "";
  for (const BoundOperation& bound : bound_operations()) {
    if (bound.name != best) continue;
    if (bound.operation->forms & kBitloop) return fmt::format("did you mean bitloop.{}?", best);
    if (!(bound.operation->forms & kMethod)) return fmt::format("did you mean torch.{}?", best);
  }
  return fmt::format("did you mean '{}'?", best);
}

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
  add_library(L, "torch", kTorch);
  add_library(L, "bitloop", kBitloop);
  lua_settop(L, environment);
}

}  // namespace bitloop::lua
