#include "lua/tensor/operators.h"

#include <ATen/ATen.h>
#include <ATen/ScalarOps.h>
#include <fmt/format.h>

#include <algorithm>

#include "lua/capture/tracer.h"
#include "lua/runtime/guest.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

namespace {

enum class Op { kAdd, kSub, kMul, kDiv, kFloorDiv, kPow, kMod };
constexpr const char* kOpNames[] = {"+", "-", "*", "/", "//", "^", "%"};
constexpr const char* kFunctionNames[] = {"add",          "sub", "mul",      "div",
                                          "floor_divide", "pow", "remainder"};

// One side of an operator: a tensor, or a number.
struct Side {
  const at::Tensor* tensor = nullptr;
  const at::Tensor* given = nullptr;  // before a bool was made float32
  at::Scalar number;

  at::Tensor value() const { return tensor ? *tensor : at::native::wrapped_scalar_tensor(number); }
};

bool read_side(lua_State* L, int index, Side& side, at::Tensor& converted) {
  side.tensor = side.given = TensorHeap::of(L).find(L, index);
  if (side.tensor) {
    if (side.tensor->scalar_type() == at::kBool) {
      converted = side.tensor->to(at::kFloat);
      side.tensor = &converted;
    }
    return true;
  }
  if (lua_type(L, index) != LUA_TNUMBER) return false;
  side.number = lua_isinteger(L, index) ? at::Scalar(static_cast<int64_t>(lua_tointeger(L, index)))
                                        : at::Scalar(lua_tonumber(L, index));
  return true;
}

TracedArgument traced(const Side& side) {
  if (side.given) return {.type = TracedArgument::kTensor, .tensor = *side.given, .list = {}};
  return {
      .type = TracedArgument::kNumber, .tensor = {}, .number = side.number.toDouble(), .list = {}};
}

// Pushes the result of an operator, and tells the tracer.
int push_result(lua_State* L, const char* name, const Side& a, const Side* b, at::Tensor result) {
  TensorHeap& heap = TensorHeap::of(L);
  if (heap.tracer) {
    const TracedArgument arguments[] = {traced(a), b ? traced(*b) : TracedArgument{}, {}};
    heap.tracer->record(name, arguments, {&result, 1});
  }
  heap.push(L, std::move(result));
  return 1;
}

// Raises unless the broadcast result of two tensors fits.
void reserve_result(lua_State* L, const at::Tensor& a, const at::Tensor& b) {
  double bytes = 4;
  const int64_t rank = std::max(a.dim(), b.dim());
  for (int64_t d = 1; d <= rank; ++d) {
    bytes *=
        static_cast<double>(std::max(d <= a.dim() ? a.size(-d) : 1, d <= b.dim() ? b.size(-d) : 1));
  }
  TensorHeap::of(L).reserve(L, bytes);
}

at::Tensor apply(Op op, const Side& a, const Side& b) {
  switch (op) {
    case Op::kAdd:
      if (!b.tensor) return at::add(*a.tensor, b.number);
      if (!a.tensor) return at::add(*b.tensor, a.number);
      return at::add(*a.tensor, *b.tensor);
    case Op::kSub:
      if (!b.tensor) return at::sub(*a.tensor, b.number);
      if (!a.tensor) return at::rsub(*b.tensor, a.number);
      return at::sub(*a.tensor, *b.tensor);
    case Op::kMul:
      if (!b.tensor) return at::mul(*a.tensor, b.number);
      if (!a.tensor) return at::mul(*b.tensor, a.number);
      return at::mul(*a.tensor, *b.tensor);
    case Op::kDiv:
      if (!b.tensor) return at::div(*a.tensor, b.number);
      return at::div(a.value(), *b.tensor);
    case Op::kFloorDiv:
      if (!b.tensor) return at::div(*a.tensor, b.number, "floor");
      return at::div(a.value(), *b.tensor, "floor");
    case Op::kPow:
      if (!b.tensor) return at::pow(*a.tensor, b.number);
      if (!a.tensor) return at::pow(a.number, *b.tensor);
      return at::pow(*a.tensor, *b.tensor);
    case Op::kMod:
      if (!b.tensor) return at::remainder(*a.tensor, b.number);
      return at::remainder(a.value(), *b.tensor);
  }
  __builtin_unreachable();
}

template <Op kOp>
int arithmetic(lua_State* L) {
  Guest::of(L).check(L);
  Side a, b;
  at::Tensor converted_a, converted_b;
  if (!read_side(L, 1, a, converted_a) || !read_side(L, 2, b, converted_b)) {
    raise(L, fmt::format("can't compute {} {} {}", describe(L, 1), kOpNames[static_cast<int>(kOp)],
                         describe(L, 2)));
  }
  const at::Tensor& first = a.tensor ? *a.tensor : *b.tensor;
  reserve_result(L, first, b.tensor ? *b.tensor : first);
  at::Tensor result;
  try {
    result = apply(kOp, a, b);
  } catch (const std::exception& error) {
    raise_failure(L, error,
                  fmt::format("x {} y: {}", kOpNames[static_cast<int>(kOp)], explain(error)));
  }
  return push_result(L, kFunctionNames[static_cast<int>(kOp)], a, &b, std::move(result));
}

int negate(lua_State* L) {
  Guest::of(L).check(L);
  Side a;
  at::Tensor converted;
  if (!read_side(L, 1, a, converted)) raise(L, "a Tensor is expected");
  reserve_result(L, *a.tensor, *a.tensor);
  return push_result(L, "neg", a, nullptr, at::neg(*a.tensor));
}

// The number that a side of < <= == stands for.
double comparable(lua_State* L, int index, const char* op) {
  if (lua_type(L, index) == LUA_TNUMBER) return lua_tonumber(L, index);
  const at::Tensor* value = TensorHeap::of(L).find(L, index);
  if (!value) raise(L, fmt::format("can't compare a Tensor with {}", describe(L, index)));
  if (value->numel() != 1) {
    const char* method = *op == '=' ? "eq" : op[1] == '=' ? "le" : "lt";
    raise(L, fmt::format(
                 "'{}' works on one-element tensors, this one has {}: use x:{}(y), which compares "
                 "element by element",
                 op, value->numel(), method));
  }
  if (Tracer* tracer = TensorHeap::of(L).tracer) tracer->number_read(*value, op);
  return value->item<double>();
}

int less_than(lua_State* L) {
  Guest::of(L).check(L);
  lua_pushboolean(L, comparable(L, 1, "<") < comparable(L, 2, "<"));
  return 1;
}
int less_equal(lua_State* L) {
  Guest::of(L).check(L);
  lua_pushboolean(L, comparable(L, 1, "<=") <= comparable(L, 2, "<="));
  return 1;
}
int equal(lua_State* L) {
  Guest::of(L).check(L);
  lua_pushboolean(L, comparable(L, 1, "==") == comparable(L, 2, "=="));
  return 1;
}

int length(lua_State* L) {
  raise(L, "# is not defined for a Tensor: use x:size(0), x:dim() or x:numel()");
}
int concatenate(lua_State* L) {
  raise(L, ".. joins strings: use tostring(x) to show a Tensor, torch.cat to join Tensors");
}
int call(lua_State* L) {
  raise(L, "a Tensor can't be called: x[i], x:select(dim, i) or x:narrow(dim, start, length)");
}

int to_string(lua_State* L) {
  constexpr int64_t kShown = 8;
  const at::Tensor* value = TensorHeap::of(L).find(L, 1);
  if (!value) raise(L, "a Tensor is expected");
  if (Tracer* tracer = TensorHeap::of(L).tracer) tracer->number_read(*value, "tostring");
  std::string text = "Tensor(";
  for (int64_t d = 0; d < value->dim(); ++d)
    text += fmt::format("{}{}", d ? ", " : "", value->size(d));
  text += ")";
  if (value->scalar_type() != at::kFloat)
    text += fmt::format(" {}", c10::toString(value->scalar_type()));
  text += value->dim() == 0 ? " " : " [";
  const at::Tensor flat =
      value->detach().flatten().narrow(0, 0, std::min(kShown, value->numel())).cpu();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    text += fmt::format("{}{:.6g}", i ? ", " : "", flat[i].item<double>());
  }
  if (value->numel() > kShown) text += ", …";
  if (value->dim() > 0) text += "]";
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

}  // namespace

void add_operators(lua_State* L, int metatable) {
  const luaL_Reg metamethods[] = {
      {"__add", guarded<arithmetic<Op::kAdd>>},
      {"__sub", guarded<arithmetic<Op::kSub>>},
      {"__mul", guarded<arithmetic<Op::kMul>>},
      {"__div", guarded<arithmetic<Op::kDiv>>},
      {"__idiv", guarded<arithmetic<Op::kFloorDiv>>},
      {"__pow", guarded<arithmetic<Op::kPow>>},
      {"__mod", guarded<arithmetic<Op::kMod>>},
      {"__unm", guarded<negate>},
      {"__lt", guarded<less_than>},
      {"__le", guarded<less_equal>},
      {"__eq", guarded<equal>},
      {"__len", guarded<length>},
      {"__concat", guarded<concatenate>},
      {"__call", guarded<call>},
      {"__tostring", guarded<to_string>},
  };
  for (const luaL_Reg& metamethod : metamethods) {
    lua_pushcfunction(L, metamethod.func);
    lua_setfield(L, metatable, metamethod.name);
  }
}

}  // namespace bitloop::lua
