#include "lua/tensor/operation.h"

#include <ATen/ScalarOps.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "lua/capture/tracer.h"
#include "lua/tensor/other_names.h"

namespace bitloop::lua {

namespace {

constexpr double kLargestSize = 1e15;

// Whether the value is a table with at least one string key: named arguments, not a list.
bool is_named_arguments(lua_State* L, int index) {
  if (lua_type(L, index) != LUA_TTABLE) return false;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
      lua_pop(L, 1);
      return true;
    }
  }
  return false;
}

}  // namespace

BoundOperation bind(const Operation& operation) {
  BoundOperation bound{parse_signature(operation.signature), &operation};
  if (bound.parameters.size() > Call::kMaxParameters) throw std::logic_error("too many parameters");
  return bound;
}

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

Call::Call(lua_State* L, const BoundOperation& bound) : L_(L), bound_(bound) {
  int given = lua_gettop(L);
  int named = 0;
  if (given > 0 && is_named_arguments(L, given)) named = given--;
  // A trailing empty table is an empty list of names, except where a list of sizes may be meant.
  const auto parameters = static_cast<int>(bound.parameters.size());
  if (!named && given > 0 && given > 1 && lua_type(L, given) == LUA_TTABLE &&
      lua_rawlen(L, given) == 0 && !bound.parameters.empty() && !bound.parameters.back().variadic) {
    --given;
  }
  const bool variadic = parameters > 0 && bound.parameters.back().variadic;
  if (given > parameters && !variadic) {
    fail(fmt::format("takes at most {} argument{}, got {}", parameters, parameters == 1 ? "" : "s",
                     given));
  }
  for (int i = 0; i < std::min(given, parameters); ++i) {
    if (!lua_isnil(L, i + 1)) slots_[static_cast<size_t>(i)] = i + 1;
  }
  if (variadic) last_variadic_ = std::max(given, parameters);
  if (named) read_named(named);
  for (int i = 0; i < parameters; ++i) {
    const Parameter& parameter = bound.parameters[static_cast<size_t>(i)];
    if (has(i) || parameter.optional || parameter.variadic) continue;
    if (i == 0 && (bound.operation->forms & kMethod)) {
      fail(fmt::format("{} must be a Tensor, got {} (call it as x:{}(…) or torch.{}(x, …))",
                       parameter.name, given >= 1 ? "nil" : "nothing", bound.name, bound.name));
    }
    fail(fmt::format("needs an argument '{}': {}", parameter.name, bound.text));
  }
  reserve_broadcast();
}

void Call::read_named(int table) {
  luaL_checkstack(L_, kMaxParameters + 4, "named arguments");
  // A copy of the names first: the values are pushed while the table is walked.
  std::vector<size_t> found;
  lua_pushnil(L_);
  while (lua_next(L_, table)) {
    lua_pop(L_, 1);
    if (lua_type(L_, -1) != LUA_TSTRING) {
      fail("a table of named arguments can't hold a list too: write x:sum{dim = {0, 1}}");
    }
    const std::string_view name = lua_tostring(L_, -1);
    size_t i = 0;
    while (i < bound_.parameters.size() && bound_.parameters[i].name != name) ++i;
    if (i == bound_.parameters.size()) {
      const std::string hint = suggest_argument(name, bound_);
      fail(fmt::format("has no argument '{}'{}: {}", name, hint.empty() ? "" : ", " + hint,
                       bound_.text));
    }
    if (slots_[i]) fail(fmt::format("argument '{}' is given twice", name));
    found.push_back(i);
  }
  for (size_t i : found) {
    lua_pushlstring(L_, bound_.parameters[i].name.data(), bound_.parameters[i].name.size());
    lua_rawget(L_, table);
    slots_[i] = lua_gettop(L_);
    if (bound_.parameters[i].variadic) last_variadic_ = slots_[i];
  }
}

// Almost every result is no larger than its tensors broadcast together; the others reserve for
// themselves.
void Call::reserve_broadcast() {
  const TensorHeap& heap = TensorHeap::of(L_);
  std::array<int64_t, 16> shape{};
  size_t rank = 0;
  bool any = false;
  // Its second tensor lends a shape alone: a long row and a matrix of as many numbers, which can't
  // be broadcast together, would seem to need the product of both.
  const size_t taking_part = bound_.name == "view_as" ? 1 : bound_.parameters.size();
  for (size_t i = 0; i < taking_part; ++i) {
    if (!slots_[i]) continue;
    const at::Tensor* value = heap.find(L_, slots_[i]);
    if (!value) continue;
    any = true;
    const at::IntArrayRef sizes = value->sizes();
    if (sizes.size() > shape.size()) fail("tensors have at most 16 dimensions here");
    for (; rank < sizes.size(); ++rank) shape[rank] = 1;
    for (size_t d = 0; d < sizes.size(); ++d) {
      shape[d] = std::max(shape[d], sizes[sizes.size() - 1 - d]);
    }
  }
  if (any) reserve(at::IntArrayRef(shape.data(), rank));
}

void Call::reserve(at::IntArrayRef shape, double copies) {
  double bytes = 4 * copies;
  for (int64_t size : shape) bytes *= static_cast<double>(size);
  TensorHeap::of(L_).reserve(L_, bytes);
}

void Call::fail(const std::string& message) {
  raise(L_, fmt::format("{}: {}", bound_.name, message));
}

void Call::wrong_type(int i, std::string_view expected) {
  std::string came = has(i) ? describe(L_, slot(i)) : "nil";
  if (is_tensor(i)) came = fmt::format("a Tensor ({})", fmt::join(tensor(i).sizes(), ", "));
  fail(fmt::format("{} must be {}, got {}", bound_.parameters[static_cast<size_t>(i)].name,
                   expected, came));
}

bool Call::is_tensor(int i) const {
  return has(i) && TensorHeap::of(L_).find(L_, slot(i)) != nullptr;
}
bool Call::is_number(int i) const { return has(i) && lua_type(L_, slot(i)) == LUA_TNUMBER; }

const at::Tensor& Call::tensor(int i) {
  const at::Tensor* value = has(i) ? TensorHeap::of(L_).find(L_, slot(i)) : nullptr;
  if (!value) wrong_type(i, "a Tensor");
  return *value;
}

at::Tensor Call::numeric(int i) {
  const at::Tensor& value = tensor(i);
  return value.scalar_type() == at::kBool ? value.to(at::kFloat) : value;
}

at::Tensor Call::floats(int i) {
  const at::Tensor& value = tensor(i);
  return value.is_floating_point() ? value : value.to(at::kFloat);
}

at::Tensor Call::operand(int i) {
  if (is_number(i)) return at::native::wrapped_scalar_tensor(scalar(i));
  if (!is_tensor(i)) wrong_type(i, "a Tensor or a number");
  return numeric(i);
}

at::Scalar Call::scalar(int i) {
  if (!has(i)) return number(i);
  if (lua_isinteger(L_, slot(i))) return static_cast<int64_t>(lua_tointeger(L_, slot(i)));
  return number(i);
}

double Call::number(int i) {
  if (!has(i)) {
    const std::string_view text = bound_.parameters[static_cast<size_t>(i)].default_text;
    double value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      wrong_type(i, "a number");
    }
    return value;
  }
  if (lua_type(L_, slot(i)) == LUA_TNUMBER) return lua_tonumber(L_, slot(i));
  // A one-element tensor is a number wherever one is asked for, unless that would cut the graph.
  if (const at::Tensor* value = TensorHeap::of(L_).find(L_, slot(i));
      value && value->numel() == 1) {
    if (value->requires_grad())
      wrong_type(i, "a number (x:item() of a tensor with a gradient cuts it)");
    if (Tracer* tracer = TensorHeap::of(L_).tracer)
      tracer->number_read(
          *value,
          fmt::format("{} of {}", bound_.parameters[static_cast<size_t>(i)].name, bound_.name));
    return value->item<double>();
  }
  wrong_type(i, "a number");
}

int64_t Call::integer(int i) {
  if (has(i) && lua_type(L_, slot(i)) == LUA_TNUMBER) {
    int whole = 0;
    const lua_Integer value = lua_tointegerx(L_, slot(i), &whole);
    if (whole) return value;
    wrong_type(i, "a whole number");
  }
  const double value = number(i);
  if (value != std::floor(value) || std::abs(value) > kLargestSize) wrong_type(i, "a whole number");
  return static_cast<int64_t>(value);
}

bool Call::boolean(int i) {
  if (!has(i)) return bound_.parameters[static_cast<size_t>(i)].default_text == "true";
  if (lua_type(L_, slot(i)) != LUA_TBOOLEAN) wrong_type(i, "true or false");
  return lua_toboolean(L_, slot(i));
}

std::string_view Call::string(int i) {
  if (!has(i)) {
    std::string_view text = bound_.parameters[static_cast<size_t>(i)].default_text;
    if (text.starts_with('"')) text = text.substr(1, text.size() - 2);
    return text;
  }
  if (lua_type(L_, slot(i)) != LUA_TSTRING) wrong_type(i, "a string");
  return lua_tostring(L_, slot(i));
}

std::optional<at::Scalar> Call::optional_scalar(int i) {
  return has(i) ? std::optional(scalar(i)) : std::nullopt;
}
std::optional<int64_t> Call::optional_integer(int i) {
  return has(i) ? std::optional(integer(i)) : std::nullopt;
}
std::optional<std::string_view> Call::optional_string(int i) {
  return has(i) ? std::optional(string(i)) : std::nullopt;
}

std::vector<int64_t> Call::integers(int i) {
  std::vector<int64_t> values;
  if (!has(i)) return values;
  const auto read = [&](int index) {
    int whole = 0;
    const lua_Integer value =
        lua_type(L_, index) == LUA_TNUMBER ? lua_tointegerx(L_, index, &whole) : 0;
    if (!whole) {
      fail(fmt::format("{} must be whole numbers, got {}",
                       bound_.parameters[static_cast<size_t>(i)].name, describe(L_, index)));
    }
    if (values.size() == 64) fail("more than 64 sizes or dimensions");
    // LibTorch has no words for these; sizes too large run out of memory.
    if (static_cast<double>(value) < -kLargestSize) fail(fmt::format("{} is out of range", value));
    values.push_back(value);
  };
  if (lua_type(L_, slot(i)) == LUA_TTABLE) {
    const lua_Integer count = luaL_len(L_, slot(i));
    for (lua_Integer k = 1; k <= count; ++k) {
      lua_geti(L_, slot(i), k);
      read(lua_gettop(L_));
      lua_pop(L_, 1);
    }
    return values;
  }
  const bool variadic = bound_.parameters[static_cast<size_t>(i)].variadic;
  for (int index = slot(i); index <= (variadic ? last_variadic_ : slot(i)); ++index) read(index);
  return values;
}

std::vector<int64_t> Call::sizes(int i) {
  std::vector<int64_t> values = integers(i);
  for (int64_t value : values) {
    if (value < 0) fail(fmt::format("sizes can't be negative, got {}", value));
  }
  return values;
}

std::vector<at::Tensor> Call::tensors(int i) {
  if (!has(i) || lua_type(L_, slot(i)) != LUA_TTABLE) wrong_type(i, "a list of Tensors");
  std::vector<at::Tensor> values;
  const lua_Integer count = luaL_len(L_, slot(i));
  for (lua_Integer k = 1; k <= count; ++k) {
    lua_geti(L_, slot(i), k);
    const at::Tensor* value = TensorHeap::of(L_).find(L_, -1);
    if (!value) fail(fmt::format("element {} must be a Tensor, got {}", k, describe(L_, -1)));
    values.push_back(*value);
    lua_pop(L_, 1);
  }
  if (values.empty()) fail("the list of Tensors is empty");
  return values;
}

at::TensorOptions Call::options() const {
  return at::TensorOptions(at::kFloat).device(TensorHeap::of(L_).device());
}

int Call::push(at::Tensor value) {
  if (value.scalar_type() == at::kDouble) value = value.to(at::kFloat);
  TensorHeap& heap = TensorHeap::of(L_);
  // What was made of numbers alone is on the CPU; what has no numbers (a recording's) is nowhere.
  if (value.device() != heap.device() && !value.is_meta()) value = value.to(heap.device());
  heap.push(L_, std::move(value));
  return 1;
}

int Call::push_all(const std::vector<at::Tensor>& values) {
  luaL_checkstack(L_, static_cast<int>(values.size()) + 4, "too many results");
  for (const at::Tensor& value : values) push(value);
  return static_cast<int>(values.size());
}

namespace {

// The arguments of a call as the tracer reads them, before the operation runs.
std::vector<TracedArgument> traced_arguments(Call& call, const BoundOperation& bound,
                                             Tracer& tracer) {
  lua_State* L = call.lua();
  const TensorHeap& heap = TensorHeap::of(L);
  std::vector<TracedArgument> arguments(std::max<size_t>(3, bound.parameters.size()));
  for (int i = 0; i < static_cast<int>(bound.parameters.size()); ++i) {
    TracedArgument& argument = arguments[static_cast<size_t>(i)];
    if (!call.has(i)) continue;
    const int type = lua_type(L, call.slot(i));
    if (const at::Tensor* tensor = heap.find(L, call.slot(i))) {
      argument = {.type = TracedArgument::kTensor, .tensor = *tensor, .list = {}};
    } else if (type == LUA_TNUMBER) {
      argument = {.type = TracedArgument::kNumber,
                  .tensor = {},
                  .number = lua_tonumber(L, call.slot(i)),
                  .list = {}};
    } else if (type == LUA_TBOOLEAN) {
      argument = {.type = TracedArgument::kBoolean,
                  .tensor = {},
                  .number = static_cast<double>(lua_toboolean(L, call.slot(i))),
                  .list = {}};
    } else if (type == LUA_TTABLE) {
      argument.type = TracedArgument::kList;
      const lua_Integer count = luaL_len(L, call.slot(i));
      for (lua_Integer k = 1; k <= count && k <= 64; ++k) {
        lua_geti(L, call.slot(i), k);
        if (const at::Tensor* element = heap.find(L, -1); element && tracer.depends(*element))
          tracer.give_up(fmt::format("{} takes a list of tensors", bound.name));
        argument.list.push_back(lua_tointeger(L, -1));
        lua_pop(L, 1);
      }
    } else {
      argument.type = TracedArgument::kOther;
    }
  }
  return arguments;
}

int traced_call(lua_State* L, const BoundOperation& bound, Call& call, Tracer& tracer) {
  const std::vector<TracedArgument> arguments = traced_arguments(call, bound, tracer);
  const int count = bound.operation->function(call);
  std::vector<at::Tensor> results;
  for (int i = lua_gettop(L) - count + 1; i <= lua_gettop(L); ++i)
    if (const at::Tensor* result = TensorHeap::of(L).find(L, i)) results.push_back(*result);
  tracer.record(bound.name, arguments, results);
  return count;
}

// LibTorch's message, in this language's words where its own would not help.
std::string for_people(const std::string& message) {
  if (message.find("Dimension out of range") != std::string::npos)
    return message + "; dimensions count from 0";  // Torch7's count from 1
  if (message.find("not implemented for 'Long'") != std::string::npos)
    return "works on float32 tensors, this one is int64: use x:float()";
  if (message.find("not implemented for 'Bool'") != std::string::npos)
    return "works on float32 tensors, this one is bool: use x:float()";
  return message;
}

}  // namespace

int invoke(lua_State* L) {
  const auto& bound = *static_cast<const BoundOperation*>(lua_touserdata(L, lua_upvalueindex(1)));
  Guest::of(L).check(L);
  try {
    Call call(L, bound);
    if (Tracer* tracer = TensorHeap::of(L).tracer) return traced_call(L, bound, call, *tracer);
    return bound.operation->function(call);
  } catch (const std::exception& error) {
    raise_failure(L, error, fmt::format("{}: {}", bound.name, for_people(explain(error))));
  }
}

}  // namespace bitloop::lua
