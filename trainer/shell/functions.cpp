#include "trainer/shell/functions.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lua/quantizer/context.h"
#include "lua/quantizer/format_reader.h"
#include "lua/quantizer/results.h"
#include "lua/runtime/guest.h"
#include "lua/runtime/protect.h"
#include "lua/tensor/tensor_type.h"
#include "trainer/shell/evaluator.h"
#include "trainer/shell/help.h"
#include "trainer/shell/report.h"
#include "trainer/shell/show.h"

namespace bitloop::trainer::shell {
namespace {

using lua::Call;
using lua::Quantizer;
using lua::raise;
using lua::TensorHeap;

// The (rows, columns) tensor of argument 1.
at::Tensor matrix_argument(lua_State* L, const char* function, const char* shape) {
  const at::Tensor* tensor = TensorHeap::of(L).find(L, 1);
  if (tensor == nullptr)
    raise(L, fmt::format("{}: needs a Tensor {}, got {}", function, shape, lua::describe(L, 1)));
  if (tensor->dim() != 2 || tensor->numel() == 0)
    raise(L, fmt::format("{}: needs a Tensor {} with numbers in it, got one of shape {}", function,
                         shape, show_shape(tensor->sizes())));
  return *tensor;
}

// What argument 2 of quantize names: a quantizer of C++, or (null) a table written in the shell,
// which then lies at the top of the stack.
Quantizer* quantizer_argument(lua_State* L, const char* function) {
  Evaluator& shell = Evaluator::of(L);
  if (lua_type(L, 2) == LUA_TSTRING) {
    auto found = shell.zoo(lua_tostring(L, 2));
    if (!found) raise(L, fmt::format("{}: {}", function, found.error().message));
    return *found;
  }
  if (lua_isnoneornil(L, 2))
    shell.push_global(L, "Q");
  else
    lua_pushvalue(L, 2);
  if (Quantizer* loaded = shell.loaded(L, -1)) return loaded;
  if (lua_type(L, -1) == LUA_TTABLE) return nullptr;
  raise(L, fmt::format("{}: there is no quantizer: start with a FILE, say use(\"ternary\"), or "
                       "{}(…, \"ternary\")",
                       function, function));
}

// Calls weight_quant of the table at the top as training would read it.
Result<Report> measure_table(lua_State* L, const at::Tensor& w) {
  const int Q = lua_gettop(L);
  const lua::Format format = lua::read_format(L, Q);
  for (const char* name : {"init", "row_bias"}) {
    if (lua_getfield(L, Q, name) != LUA_TNIL || format.hadamard_block > 0)
      raise(L,
            fmt::format("quantize: a table with {} can't be tried here: write it into a file and "
                        "start with it",
                        format.hadamard_block > 0 ? "transform" : name));
    lua_pop(L, 1);
  }
  if (lua_getfield(L, Q, "weight_quant") != LUA_TFUNCTION)
    raise(L, "quantize: the table has no function weight_quant");
  const int base = lua_gettop(L) - 1;
  TensorHeap::of(L).push(L, w, true);
  const lua::Layer layer{.name = "shell",
                         .index = 0,
                         .count = 1,
                         .kind = "mlp_fc",
                         .in_features = w.size(1),
                         .out_features = w.size(0)};
  lua::push_context(L, {.step = 1, .total_steps = 1, .training = false, .layer = &layer});
  lua_call(L, 2, LUA_MULTRET);
  // The results are read from the bottom of the stack on.
  const int count = lua_gettop(L) - base;
  lua_rotate(L, 1, count);
  const lua::Returned returned{L, count, "weight_quant", ""};
  return measure_returned(lua::take_quantized(returned, format.codebook_entries > 0), format, w);
}

void set_number(lua_State* L, const char* name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

int push_report(lua_State* L, const Report& report) {
  lua_settop(L, 0);
  lua_newtable(L);
  const Operand& operand = report.operand;
  const std::pair<const char*, const at::Tensor*> tensors[] = {
      {"codes", &operand.codes},       {"scale", &operand.scale}, {"offset", &operand.offset},
      {"codebook", &operand.codebook}, {"value", &operand.value}, {"input", &report.input},
      {"row_bias", &report.row_bias}};
  for (const auto& [name, tensor] : tensors) {
    if (!tensor->defined()) continue;
    TensorHeap::of(L).push(L, tensor->detach());
    lua_setfield(L, -2, name);
  }
  set_number(L, "error", report.error);
  set_number(L, "mse", report.mse);
  set_number(L, "snr_db", report.snr_db);
  set_number(L, report.weight ? "bits_per_weight" : "bits_per_code", report.bits);
  if (report.zero_share) set_number(L, "zero_share", *report.zero_share);
  set_text(L, report_text(report));
  return 1;
}

[[noreturn]] void raise_error(lua_State* L, const char* function, const Error& error) {
  raise(L, fmt::format("{}: {}", function, error.message));
}

int quantize(lua_State* L) {
  const at::Tensor w = matrix_argument(L, "quantize", "(N, K)");
  TensorHeap::of(L).reserve(L, 16.0 * static_cast<double>(w.numel()));
  Quantizer* const quantizer = quantizer_argument(L, "quantize");
  const auto report = quantizer ? measure_weight(*quantizer, w) : measure_table(L, w);
  if (!report) raise_error(L, "quantize", report.error());
  return push_report(L, *report);
}

int quantize_activation(lua_State* L) {
  const at::Tensor x = matrix_argument(L, "quantize_activation", "(rows, K)");
  TensorHeap::of(L).reserve(L, 16.0 * static_cast<double>(x.numel()));
  Quantizer* const quantizer = quantizer_argument(L, "quantize_activation");
  if (quantizer == nullptr)
    raise(L, "quantize_activation: works with a FILE's Q or a name of the zoo");
  // Q.init sees a weight; only its size matters here.
  const int64_t K = x.size(1);
  TensorHeap::of(L).reserve(L, 16.0 * 64 * static_cast<double>(K));
  const at::Tensor w = Evaluator::of(L)
                           .default_weight()
                           .flatten()
                           .narrow(0, 0, 64)
                           .unsqueeze(1)
                           .expand({64, K})
                           .contiguous();
  const auto report = measure_activation(*quantizer, x, w);
  if (!report) raise_error(L, "quantize_activation", report.error());
  return push_report(L, *report);
}

int hist(lua_State* L) {
  const at::Tensor* x = TensorHeap::of(L).find(L, 1);
  if (x == nullptr) raise(L, fmt::format("hist: needs a Tensor, got {}", lua::describe(L, 1)));
  const lua_Integer bins = luaL_optinteger(L, 2, 16);
  if (bins < 1 || bins > 64) raise(L, "hist: bins must be from 1 to 64");
  TensorHeap::of(L).reserve(L, 12.0 * static_cast<double>(x->numel()));
  Evaluator::of(L).print(show_histogram(*x, bins, ""));
  return 0;
}

int use(lua_State* L) {
  if (lua_type(L, 1) != LUA_TSTRING)
    raise(L, fmt::format("use: needs the name of a quantizer, got {}; zoo() lists them",
                         lua::describe(L, 1)));
  Evaluator& shell = Evaluator::of(L);
  const auto source = shell.zoo_source(lua_tostring(L, 1));
  if (!source) raise_error(L, "use", source.error());
  shell.load_within(L, *source);
  return 0;
}

int reload(lua_State* L) {
  Evaluator& shell = Evaluator::of(L);
  const auto source = shell.read_source();
  if (!source) raise_error(L, "reload", source.error());
  shell.load_within(L, *source);
  return 0;
}

int zoo(lua_State* L) {
  lua_newtable(L);
  lua_Integer place = 0;
  for (const std::string& name : Evaluator::of(L).zoo_names()) {
    lua_pushlstring(L, name.data(), name.size());
    lua_rawseti(L, -2, ++place);
  }
  return 1;
}

int help(lua_State* L) {
  const bool about = lua_type(L, 1) == LUA_TSTRING;
  if (!about && !lua_isnoneornil(L, 1)) raise(L, "help: needs a name in quotes: help(\"clamp\")");
  const std::string text = about ? help_about(lua_tostring(L, 1)) : help_overview();
  Evaluator::of(L).print(text);
  return 0;
}

constexpr Function kFunctions[] = {
    {"print(values...)", "writes values; tensors like PyTorch, the middle of long ones left out",
     lua::guarded<print>},
    {"quantize(w, quantizer=Q)",
     "what weight_quant makes of w (N, K), by the code that training uses: a report with codes, "
     "scale, "
     "value, error, mse, snr_db, bits_per_weight, zero_share; quantizer may be a name of the zoo, "
     "or a "
     "table written here",
     lua::guarded<quantize>},
    {"quantize_activation(x, quantizer=Q)", "the same of activation_quant and x (rows, K)",
     lua::guarded<quantize_activation>},
    {"hist(x, bins=16)", "a histogram in characters", lua::guarded<hist>},
    {"use(name)", "makes a quantizer of the zoo Q", lua::guarded<use>},
    {"zoo()", "the names of the quantizers that come with bitloop", lua::guarded<zoo>},
    {"reload()", "reads FILE again and makes it Q", lua::guarded<reload>},
    {"help(name=nil)", "this text, or the line about one function: help(\"clamp\")",
     lua::guarded<help>},
};

// Random tensors, from the shell's own generator.
int random(Call& c, const std::vector<int64_t>& size, bool normal) {
  c.reserve(size);
  at::Generator& generator = Evaluator::of(c.lua()).generator();
  return c.push(normal ? at::randn(size, generator, at::kFloat)
                       : at::rand(size, generator, at::kFloat));
}
int randn(Call& c) { return random(c, c.sizes(0), true); }
int rand(Call& c) { return random(c, c.sizes(0), false); }
int randn_like(Call& c) { return random(c, c.tensor(0).sizes().vec(), true); }
int rand_like(Call& c) { return random(c, c.tensor(0).sizes().vec(), false); }
int manual_seed(Call& c) {
  Evaluator::of(c.lua()).generator().set_current_seed(static_cast<uint64_t>(c.integer(0)));
  return 0;
}

constexpr lua::Operation kRandom[] = {
    {"randn(size...)", "normal random numbers; in the shell only", randn, lua::kTorch},
    {"rand(size...)", "random numbers from 0 to 1; in the shell only", rand, lua::kTorch},
    {"randn_like(x)", "normal random numbers in x's shape; in the shell only", randn_like,
     lua::kTorch},
    {"rand_like(x)", "random numbers from 0 to 1 in x's shape; in the shell only", rand_like,
     lua::kTorch},
    {"manual_seed(seed)", "starts the shell's random numbers anew; they begin with 42", manual_seed,
     lua::kTorch},
};

}  // namespace

std::span<const Function> shell_functions() { return kFunctions; }
std::span<const lua::Operation> random_operations() { return kRandom; }

int print(lua_State* L) {
  const int count = lua_gettop(L);
  std::vector<std::string> texts;
  bool lines = false;
  for (int i = 1; i <= count; ++i) {
    texts.push_back(show_value(L, i));
    lines = lines || texts.back().find('\n') != std::string::npos;
  }
  Evaluator::of(L).print(fmt::format("{}\n", fmt::join(texts, lines ? "\n" : "\t")));
  return 0;
}

}  // namespace bitloop::trainer::shell
