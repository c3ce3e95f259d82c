#include "lua/quantizer/quantizer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <optional>

#include "lua/capture/graph.h"
#include "lua/capture/tracer.h"
#include "lua/quantizer/context.h"
#include "lua/quantizer/digest.h"
#include "lua/quantizer/format_reader.h"
#include "lua/quantizer/results.h"
#include "lua/runtime/environment.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"
#include "lua/runtime/python_habits.h"
#include "lua/tensor/registry.h"
#include "lua/tensor/tensor_heap.h"
#include "lua/tensor/tensor_type.h"

namespace bitloop::lua {

namespace {

constexpr const char* kFrozen =
    "everything made while loading is read-only; what a layer remembers lives in ctx.state";

}  // namespace

struct Quantizer::Impl {
  Impl(const Limits& limits, std::string_view file_name, at::Device device)
      : guest(limits, std::string(file_name)), heap(guest, device) {}

  // Calls Q.<function> with what `arguments` pushes (it returns how many); `take` reads the
  // results, which are all there is from its stack index on.
  Status call(std::string_view function, const std::function<int(lua_State*)>& arguments,
              const std::function<void(const Returned&)>& take);
  Result<Quantized> quantize(const char* function, const at::Tensor& tensor, const Context& context,
                             Recording* recording);
  // Every operation of the calls that follow is recorded by it, until end_recording.
  void begin_recording(Tracer& tracer, const Context& context);
  void end_recording(Tracer& tracer);
  void load(lua_State* L, std::string_view source);

  Guest guest;
  TensorHeap heap;  // freed before the state
  Format format;
  nlohmann::json config = nlohmann::json::object();
  std::array<int, std::size(kFunctionNames)> functions{};  // registry references, 0 when absent
  std::array<int, std::size(kFunctionNames)> lines{};      // where they are defined
  int root = 0;                                            // registry reference: {Q, environment}
};

void Quantizer::Impl::load(lua_State* L, std::string_view source) {
  push_environment(L);
  install_tensors(L);
  const int environment = lua_gettop(L);
  const std::string chunk_name = "=" + guest.file_name();
  if (luaL_loadbufferx(L, source.data(), source.size(), chunk_name.c_str(), "t") != LUA_OK)
    lua_error(L);
  lua_pushvalue(L, environment);
  lua_setupvalue(L, -2, 1);
  lua_call(L, 0, LUA_MULTRET);
  const int given = lua_gettop(L) - environment;
  if (given != 1 || lua_type(L, -1) != LUA_TTABLE) {
    raise(L, fmt::format("the file must end with `return Q` and return one table, got {}",
                         given == 0   ? "nothing"
                         : given == 1 ? describe(L, -1)
                                      : fmt::format("{} values", given)));
  }
  const int Q = lua_gettop(L);
  format = read_format(L, Q);
  config = read_config(L, Q);
  for (size_t i = 0; i < std::size(kFunctionNames); ++i) {
    if (lua_getfield(L, Q, kFunctionNames[i].data()) != LUA_TFUNCTION) {
      lua_pop(L, 1);
      continue;
    }
    lua_Debug info;
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &info);
    lines[i] = info.linedefined;
    functions[i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, Q);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, environment);
  lua_rawseti(L, -2, 2);
  protect_reachable(L, -1, kFrozen);
  root = luaL_ref(L, LUA_REGISTRYINDEX);
}

Status Quantizer::Impl::call(std::string_view function,
                             const std::function<int(lua_State*)>& arguments,
                             const std::function<void(const Returned&)>& take) {
  size_t place = 0;
  while (place < std::size(kFunctionNames) && kFunctionNames[place] != function) ++place;
  if (!functions[place]) {
    return fail("script_error",
                fmt::format("{}: Q.{} is not defined", guest.file_name(), function));
  }
  const uint64_t mark = heap.mark();
  heap.keep_alive = false;
  Status status = guest.run(guest.limits().call_seconds, [&](lua_State* L) {
    guest.registry->release_pending(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, functions[place]);
    const int count = arguments(L);
    lua_call(L, count, LUA_MULTRET);
    Returned returned{L, lua_gettop(L), function,
                      lines[place] > 0 ? fmt::format("{}:{}: ", guest.file_name(), lines[place])
                                       : guest.file_name() + ": "};
    take(returned);
  });
  if (!heap.keep_alive) heap.release_since(mark);
  if (!status) add_absent_hint(status.error().message);
  return status;
}

Result<std::unique_ptr<Quantizer>> Quantizer::load(std::string_view source,
                                                   std::string_view file_name, const Limits& limits,
                                                   at::Device device) {
  if (source.size() > kMaxSourceBytes) {
    return fail("script_error",
                fmt::format("{}: the file has {} bytes, more than the {} KiB allowed", file_name,
                            source.size(), kMaxSourceBytes >> 10));
  }
  if (const std::string slip = python_constant(source, file_name); !slip.empty())
    return fail("script_error", slip);
  const at::NoGradGuard no_graph;
  auto impl = std::make_unique<Impl>(limits, file_name, device);
  Status status =
      impl->guest.run(limits.load_seconds, [&](lua_State* L) { impl->load(L, source); });
  if (!status) {
    add_absent_hint(status.error().message);
    add_syntax_hint(status.error().message);
    return std::unexpected(status.error());
  }
  if (impl->format.name.empty()) {
    impl->format.name = std::string(file_name.substr(0, file_name.rfind('.')));
  }
  return std::unique_ptr<Quantizer>(new Quantizer(std::move(impl)));
}

Quantizer::Quantizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Quantizer::~Quantizer() = default;

const Format& Quantizer::format() const { return impl_->format; }
const nlohmann::json& Quantizer::config() const { return impl_->config; }

bool Quantizer::has(std::string_view function) const {
  for (size_t i = 0; i < std::size(kFunctionNames); ++i) {
    if (kFunctionNames[i] == function) return impl_->functions[i] != 0;
  }
  return false;
}

void Quantizer::Impl::begin_recording(Tracer& tracer, const Context& context) {
  if (context.params) tracer.bind_parameters(*context.params);
  if (context.state) tracer.bind_state(*context.state);
  heap.tracer = &tracer;
  guest.listed_read_only = guest.caught_error = false;
}

void Quantizer::Impl::end_recording(Tracer& tracer) {
  heap.tracer = nullptr;
  if (guest.listed_read_only) {
    tracer.step_read();
    tracer.layer_read();
  }
  if (guest.caught_error) tracer.give_up("an error was caught");
}

namespace {

// Which nodes the results are; gives up where one is not what the graph computes.
void take_graph(Tracer& tracer, const at::Tensor& argument, const Quantized& result,
                Recording& recording) {
  Graph* graph = tracer.graph();
  const auto place = [&](const at::Tensor& tensor, const char* name, int& node, Kind least) {
    if (!tensor.defined() || !tracer.graph()) return;
    const std::optional<int> found = tracer.node_of(tensor);
    if (!found)
      tracer.give_up(fmt::format("{} comes from outside of the function", name));
    else if (graph->nodes[static_cast<size_t>(*found)].kind < least ||
             graph->nodes[static_cast<size_t>(*found)].kind == Kind::kColumn)
      tracer.give_up(fmt::format("{} has one number for several", name));
    else
      node = *found;
  };
  if (graph != nullptr) {
    if (!tracer.depends(result.codes)) tracer.give_up("codes do not come from the tensor");
    place(result.codes, "codes", graph->codes, Kind::kFull);
    place(result.scale, "scale", graph->scale, Kind::kScalar);
    place(result.offset, "offset", graph->offset, Kind::kScalar);
    place(result.surrogate, "surrogate", graph->surrogate, Kind::kFull);
    // The function is refused for these, the program would see numbers in the right order.
    for (const at::Tensor* whole : {&result.codes, &result.surrogate})
      if (whole->defined() && whole->sizes() != argument.sizes())
        tracer.give_up("codes or surrogate have another shape than the tensor");
    if (result.codebook.defined()) tracer.give_up("a codebook is not captured");
    tracer.finish();
    if (result.scale.defined()) graph->scale_shape = result.scale.sizes().vec();
    if (result.offset.defined()) graph->offset_shape = result.offset.sizes().vec();
    for (const at::Tensor* scale : {&result.scale, &result.offset})
      if (scale->defined() && scale->numel() != 1 && scale->numel() != graph->rows)
        tracer.give_up("scales do not run along the rows of the reductions");
  }
  if (tracer.graph())
    recording.graph = std::make_shared<const Graph>(std::move(*graph));
  else
    recording.reason = tracer.reason();
}

}  // namespace

Result<Quantized> Quantizer::Impl::quantize(const char* function, const at::Tensor& tensor,
                                            const Context& context, Recording* recording) {
  Quantized result;
  std::optional<Tracer> tracer;
  if (recording != nullptr) {
    tracer.emplace(tensor);
    begin_recording(*tracer, context);
  }
  const bool codebook = format.codebook_entries > 0 && function == std::string_view("weight_quant");
  const Status called = call(
      function,
      [&](lua_State* L) {
        heap.push(L, tensor, true);
        push_context(L, context);
        return 2;
      },
      [&](const Returned& returned) { result = take_quantized(returned, codebook); });
  if (tracer) end_recording(*tracer);
  if (!called) return std::unexpected(called.error());
  if (tracer) take_graph(*tracer, tensor, result, *recording);
  return result;
}

Result<Quantized> Quantizer::weight_quant(const at::Tensor& w_NK, const Context& context,
                                          Recording* recording) {
  return impl_->quantize("weight_quant", w_NK, context, recording);
}

Result<Quantized> Quantizer::activation_quant(const at::Tensor& x_RK, const Context& context,
                                              Recording* recording) {
  return impl_->quantize("activation_quant", x_RK, context, recording);
}

Result<InitResult> Quantizer::init(const Layer& layer, const at::Tensor& weight_NK) {
  const at::NoGradGuard no_graph;
  InitResult result;
  BITLOOP_TRY(impl_->call(
      "init",
      [&](lua_State* L) {
        push_layer(L, layer, {{"weight", weight_NK}});
        return 1;
      },
      [&](const Returned& returned) { result = take_init(returned); }));
  return result;
}

Result<double> Quantizer::lambda(const Context& context) {
  double result = 0;
  BITLOOP_TRY(impl_->call(
      "lambda",
      [&](lua_State* L) {
        push_context(L, context);
        return 1;
      },
      [&](const Returned& returned) { result = take_share(returned); }));
  return result;
}

Result<at::Tensor> Quantizer::row_bias(const at::Tensor& w_NK, const at::Tensor& codes_NK,
                                       const Context& context) {
  at::Tensor result;
  BITLOOP_TRY(impl_->call(
      "row_bias",
      [&](lua_State* L) {
        impl_->heap.push(L, w_NK, true);
        impl_->heap.push(L, codes_NK, true);
        push_context(L, context);
        return 3;
      },
      [&](const Returned& returned) { result = take_tensor(returned, "one number a row"); }));
  return result;
}

Result<at::Tensor> Quantizer::input(const at::Tensor& x_RK, const Context& context) {
  at::Tensor result;
  BITLOOP_TRY(impl_->call(
      "input",
      [&](lua_State* L) {
        impl_->heap.push(L, x_RK, true);
        push_context(L, context);
        return 2;
      },
      [&](const Returned& returned) { result = take_tensor(returned, "a Tensor of x's shape"); }));
  return result;
}

Result<at::Tensor> Quantizer::regularizer(const at::Tensor& w_NK, const at::Tensor& value_NK,
                                          const Context& context, Recording* recording) {
  at::Tensor result;
  std::optional<Tracer> tracer;
  if (recording != nullptr) {
    tracer.emplace(w_NK);
    tracer->bind_value(value_NK);
    impl_->begin_recording(*tracer, context);
  }
  std::optional<int> node;
  const Status called = impl_->call(
      "regularizer",
      [&](lua_State* L) {
        impl_->heap.push(L, w_NK, true);
        impl_->heap.push(L, value_NK, true);
        push_context(L, context);
        return 3;
      },
      [&](const Returned& returned) {
        result = take_scalar(returned);
        const at::Tensor* given =
            impl_->heap.find(returned.L, 1);  // the result may be a view of it
        if (tracer && given != nullptr && tracer->depends(*given)) node = tracer->node_of(*given);
      });
  if (tracer) {
    impl_->end_recording(*tracer);
    recording->reads_step = tracer->reads_step();
    recording->reads_layer = tracer->reads_layer();
  }
  BITLOOP_TRY(called);
  if (!tracer) return result;
  if (!node) tracer->give_up("the result does not come from the tensors");
  tracer->finish();
  Graph* graph = tracer->graph();
  if (graph != nullptr) {
    graph->result = *node;
    recording->graph = std::make_shared<const Graph>(std::move(*graph));
  } else {
    recording->reason = tracer->reason();
  }
  return result;
}

Result<std::map<std::string, at::Tensor>> Quantizer::after_step(const Context& context,
                                                                const at::Tensor& codes_NK,
                                                                const at::Tensor& weight_NK) {
  const at::NoGradGuard no_graph;
  std::map<std::string, at::Tensor> result;
  BITLOOP_TRY(impl_->call(
      "after_step",
      [&](lua_State* L) {
        push_layer(L, context.layer ? *context.layer : Layer{},
                   {{"codes", codes_NK}, {"weight", weight_NK}});
        push_context(L, context);
        return 2;
      },
      [&](const Returned& returned) { result = take_state(returned, context.state); }));
  return result;
}

std::string Quantizer::state_digest() const {
  std::string digest;
  const Status status = impl_->guest.run(impl_->guest.limits().call_seconds, [&](lua_State* L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, impl_->root);
    digest = digest_reachable(L, -1);
  });
  // A state too large to walk is never equal to itself: the audit then rejects it.
  static thread_local int64_t failures = 0;
  return status ? digest : fmt::format("no digest {}: {}", ++failures, status.error().message);
}

}  // namespace bitloop::lua
