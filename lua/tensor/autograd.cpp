#include "lua/tensor/autograd.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include "lua/capture/tracer.h"
#include "lua/tensor/backward_error.h"
#include "lua/tensor/registry.h"

namespace bitloop::lua {

namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

bool needs_graph(const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& input : inputs) {
    if (input.requires_grad()) return true;
  }
  return false;
}

// Makes `output` the result of `node` computed from `inputs`.
at::Tensor attach(const at::Tensor& output, const std::shared_ptr<Node>& node,
                  const std::vector<at::Tensor>& inputs) {
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  at::Tensor result = output.detach();
  torch::autograd::set_history(result, node);
  return result;
}

struct StraightThrough : Node {
  variable_list apply(variable_list&& gradients) override { return {gradients[0]}; }
  std::string name() const override { return "StraightThrough"; }
};

// The Lua functions and arguments of one call of an autograd function, kept in the registry until
// the graph is gone. A graph may be dropped while Lua's collector runs, so the entry is freed
// later: see Registry.
struct LuaFunction : Node {
  std::shared_ptr<Registry> registry;
  int entry = 0;  // {backward, arguments…}
  int arguments = 0;
  std::vector<bool> is_tensor;               // by argument
  std::vector<std::vector<int64_t>> shapes;  // of tensor arguments

  ~LuaFunction() override { registry->release_later(entry); }
  std::string name() const override { return "bitloop.autograd"; }
  variable_list apply(variable_list&& gradients) override;
  void take_results(lua_State* L, int first, variable_list& results) const;
};

void LuaFunction::take_results(lua_State* L, int first, variable_list& results) const {
  const int given = lua_gettop(L) - first + 1;
  if (given > arguments) {
    raise(L, fmt::format("bitloop.autograd: backward must return one gradient for each of "
                         "forward's {} arguments, "
                         "got {} values",
                         arguments, given));
  }
  size_t place = 0;
  for (int i = 0; i < arguments; ++i) {
    const int index = first + i;
    const bool absent = i >= given || lua_isnil(L, index);
    if (!is_tensor[static_cast<size_t>(i)]) {
      if (!absent) {
        raise(
            L,
            fmt::format(
                "bitloop.autograd: backward must return nil for argument {}, which is not a Tensor",
                i + 1));
      }
      continue;
    }
    const std::vector<int64_t>& shape = shapes[place];
    at::Tensor& result = results[place++];
    if (absent) continue;
    const at::Tensor* gradient = TensorHeap::of(L).find(L, index);
    if (!gradient) {
      raise(L,
            fmt::format("bitloop.autograd: gradient {} of backward must be a Tensor or nil, got {}",
                        i + 1, describe(L, index)));
    }
    if (gradient->sizes() != at::IntArrayRef(shape)) {
      raise(L, fmt::format("bitloop.autograd: gradient {} of backward must have its argument's "
                           "shape ({}), got ({})",
                           i + 1, fmt::join(shape, ", "), fmt::join(gradient->sizes(), ", ")));
    }
    result = gradient->to(at::kFloat);
  }
}

variable_list LuaFunction::apply(variable_list&& gradients) {
  variable_list results(shapes.size());
  if (!gradients[0].defined()) return results;
  if (!registry->guest) {
    throw BackwardError({"script_error", "bitloop.autograd: the quantizer of this graph is gone"});
  }
  Guest& guest = *registry->guest;
  const uint64_t mark = guest.tensors->mark();
  const Status status = guest.run(guest.limits().call_seconds, [&](lua_State* L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, entry);
    luaL_checkstack(L, arguments + 8, "backward");
    lua_rawgeti(L, 1, 1);
    guest.tensors->push(L, gradients[0].detach(), true);
    for (int i = 0; i < arguments; ++i) lua_rawgeti(L, 1, i + 2);
    lua_call(L, arguments + 1, LUA_MULTRET);
    take_results(L, 2, results);
  });
  guest.tensors->release_since(mark);
  if (!status) throw BackwardError(status.error());
  return results;
}

// Calls the function at upvalue 1 on the arguments without a graph, then gives its result the
// gradient of upvalue 2.
int call_autograd(lua_State* L) {
  Guest& guest = Guest::of(L);
  guest.check(L);
  const int count = lua_gettop(L);
  std::vector<at::Tensor> inputs;
  std::vector<bool> is_tensor;
  for (int i = 1; i <= count; ++i) {
    const at::Tensor* value = guest.tensors->find(L, i);
    is_tensor.push_back(value != nullptr);
    if (value) inputs.push_back(*value);
  }
  // Whatever its arguments: what forward reads beside them has no gradient.
  if (Tracer* tracer = guest.tensors->tracer)
    tracer->give_up("bitloop.autograd has a backward in Lua");
  const bool graph = needs_graph(inputs);
  luaL_checkstack(L, 2 * count + 8, "autograd");
  // {backward, arguments…}: what backward sees are the same tensors without their history.
  lua_createtable(L, count + 1, 0);
  const int kept = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_rawseti(L, kept, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  for (int i = 1; i <= count; ++i) {
    if (is_tensor[static_cast<size_t>(i - 1)]) {
      guest.tensors->push(L, guest.tensors->find(L, i)->detach());
    } else {
      lua_pushvalue(L, i);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, kept, i + 1);
  }
  {
    at::NoGradGuard no_graph;
    lua_call(L, count, LUA_MULTRET);
  }
  const int given = lua_gettop(L) - kept;
  const at::Tensor* output = given == 1 ? guest.tensors->find(L, kept + 1) : nullptr;
  if (!output) {
    raise(L, fmt::format("bitloop.autograd: forward must return one Tensor, got {}",
                         given == 1 ? describe(L, kept + 1) : fmt::format("{} values", given)));
  }
  at::Tensor result = output->to(at::kFloat);
  if (graph) {
    std::shared_ptr<LuaFunction> node(new LuaFunction(), torch::autograd::deleteNode);
    node->registry = Registry::of(L);
    node->arguments = count;
    node->is_tensor = is_tensor;
    for (const at::Tensor& input : inputs) node->shapes.push_back(input.sizes().vec());
    lua_pushvalue(L, kept);
    node->entry = luaL_ref(L, LUA_REGISTRYINDEX);
    guest.tensors->keep_alive = true;
    result = attach(result, node, inputs);
  }
  guest.tensors->push(L, result);
  return 1;
}

}  // namespace

at::Tensor ste_round(const at::Tensor& x) {
  at::Tensor rounded;
  {
    at::NoGradGuard no_graph;
    rounded = at::round(x);
  }
  if (!needs_graph({x})) return rounded;
  return attach(rounded, std::shared_ptr<Node>(new StraightThrough(), torch::autograd::deleteNode),
                {x});
}

int make_autograd(Call& call) {
  lua_State* L = call.lua();
  for (int i = 0; i < 2; ++i) {
    if (lua_type(L, call.slot(i)) != LUA_TFUNCTION) call.wrong_type(i, "a function");
  }
  lua_pushvalue(L, call.slot(0));
  lua_pushvalue(L, call.slot(1));
  lua_pushcclosure(L, guarded<call_autograd>, 2);
  return 1;
}

}  // namespace bitloop::lua
