#include "trainer/shell/evaluator.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <deque>

#include "lua/runtime/environment.h"
#include "lua/runtime/protect.h"
#include "lua/runtime/python_habits.h"
#include "lua/tensor/registry.h"
#include "lua/tensor/tensor_type.h"
#include "trainer/shell/completion.h"
#include "trainer/shell/functions.h"

namespace bitloop::trainer::shell {
namespace {

constexpr uint64_t kSeed = 42, kDefaultsSeed = 1;
constexpr const char* kFrozen =
    "a quantizer is read-only once it is loaded; write a table of your own";
const char kShellKey = 0;

std::deque<lua::BoundOperation>& bound_random() {
  static std::deque<lua::BoundOperation> bound = [] {
    std::deque<lua::BoundOperation> all;
    for (const lua::Operation& operation : random_operations()) all.push_back(lua::bind(operation));
    return all;
  }();
  return bound;
}

// Pushes torch with random numbers in front of the library at `torch`.
void push_torch(lua_State* L, int torch) {
  lua_newtable(L);
  for (lua::BoundOperation& bound : bound_random()) {
    lua_pushlstring(L, bound.name.data(), bound.name.size());
    lua_pushlightuserdata(L, &bound);
    lua_pushcclosure(L, lua::invoke, 1);
    lua_rawset(L, -3);
  }
  lua::protect(L, -1, "the libraries are read-only");
  lua::push_content(L, -1);
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, torch);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}

void push_tensors(lua_State* L, const Global& global) {
  lua::TensorHeap& heap = lua::TensorHeap::of(L);
  if (global.tensor.defined()) return heap.push(L, global.tensor, true);
  lua_createtable(L, 0, static_cast<int>(global.named.size()));
  for (const auto& [name, tensor] : global.named) {
    lua_pushlstring(L, name.data(), name.size());
    heap.push(L, tensor, true);
    lua_rawset(L, -3);
  }
}

}  // namespace

Evaluator::Evaluator(Setup setup)
    : setup_(std::move(setup)), generator_(at::detail::createCPUGenerator(kSeed)) {
  at::Generator defaults = at::detail::createCPUGenerator(kDefaultsSeed);
  default_weight_ = at::randn({256, 256}, defaults, at::kFloat) * 0.02;
  default_input_ = at::randn({64, 256}, defaults, at::kFloat);
  make_state();
}

Evaluator::~Evaluator() = default;

Evaluator& Evaluator::of(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kShellKey);
  auto* shell = static_cast<Evaluator*>(lua_touserdata(L, -1));
  lua_pop(L, 1);
  return *shell;
}

void Evaluator::make_state() {
  heap_.reset();
  guest_ = std::make_unique<lua::Guest>(setup_.limits, setup_.chunk_name);
  heap_ = std::make_unique<lua::TensorHeap>(*guest_);
  q_ = 0;
  const Status made =
      guest_->run(setup_.limits.call_seconds, [&](lua_State* L) { make_environment(L); });
  if (!made) throw std::runtime_error(made.error().message);
}

void Evaluator::make_environment(lua_State* L) {
  lua_pushlightuserdata(L, this);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kShellKey);
  lua::push_environment(L);
  lua::install_tensors(L);
  const int environment = lua_gettop(L);
  lua_createtable(L, 0, 2);
  for (const char* library : {"torch", "bitloop"}) {
    lua_getfield(L, environment, library);
    lua_setfield(L, -2, library);
  }
  libraries_ = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, environment, "torch");
  push_torch(L, lua_gettop(L));
  lua_setfield(L, environment, "torch");
  lua_settop(L, environment);
  for (const Function& function : shell_functions()) {
    const std::string name(function.signature.substr(0, function.signature.find('(')));
    lua_pushcfunction(L, function.function);
    lua_setfield(L, environment, name.c_str());
  }
  heap_->push(L, default_weight_, true);
  lua_setfield(L, environment, "w");
  heap_->push(L, default_input_, true);
  lua_setfield(L, environment, "x");
  for (const Global& global : setup_.globals) {
    push_tensors(L, global);
    lua_setfield(L, environment, global.name.c_str());
  }
  environment_ = luaL_ref(L, LUA_REGISTRYINDEX);
}

void Evaluator::push_global(lua_State* L, const char* name) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, environment_);
  lua_pushstring(L, name);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

// Pushes the table that a quantizer's file returns, in an environment as candidates have it. It was
// loaded once before, in a state of its own.
void Evaluator::push_table_of(lua_State* L, const Source& source) {
  const int top = lua_gettop(L);
  lua::push_environment(L);
  const int environment = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, libraries_);
  for (const char* library : {"torch", "bitloop"}) {
    lua_getfield(L, -1, library);
    lua_setfield(L, environment, library);
  }
  lua_pop(L, 1);
  const std::string chunk_name = "=" + source.name;
  if (luaL_loadbufferx(L, source.text.data(), source.text.size(), chunk_name.c_str(), "t") !=
      LUA_OK)
    lua_error(L);
  lua_pushvalue(L, environment);
  lua_setupvalue(L, -2, 1);
  lua_call(L, 0, 1);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, environment + 1);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, environment);
  lua_rawseti(L, -2, 2);
  lua::protect_reachable(L, -1, kFrozen);
  lua_settop(L, environment + 1);
  lua_replace(L, top + 1);
}

void Evaluator::load_within(lua_State* L, const Source& source) {
  auto loaded = lua::Quantizer::load(source.text, source.name, setup_.limits);
  if (!loaded) lua::raise(L, loaded.error().message);
  luaL_checkstack(L, 12, "a quantizer");
  push_table_of(L, source);
  lua_rawgeti(L, LUA_REGISTRYINDEX, environment_);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "Q");
  lua_pop(L, 1);
  if (q_ != 0) luaL_unref(L, LUA_REGISTRYINDEX, q_);
  q_ = luaL_ref(L, LUA_REGISTRYINDEX);
  quantizer_ = std::move(*loaded);
  source_ = source;
}

Status Evaluator::load(const Source& source) {
  const at::NoGradGuard no_graph;
  const Status done =
      guest_->run(setup_.limits.call_seconds, [&](lua_State* L) { load_within(L, source); });
  if (done) return {};
  Error error = tidy(done.error());
  // The file's own message, whether it names a line or not.
  if (error.message.starts_with(setup_.chunk_name + ": " + source.name + ":"))
    error.message.erase(0, setup_.chunk_name.size() + 2);
  return std::unexpected(std::move(error));
}

lua::Quantizer* Evaluator::loaded(lua_State* L, int index) {
  if (q_ == 0) return nullptr;
  index = lua_absindex(L, index);
  lua_rawgeti(L, LUA_REGISTRYINDEX, q_);
  const bool same = lua_rawequal(L, -1, index);
  lua_pop(L, 1);
  return same ? quantizer_.get() : nullptr;
}

std::vector<std::string> Evaluator::zoo_names() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : setup_.zoo) names.push_back(name);
  return names;
}

Result<Source> Evaluator::zoo_source(const std::string& name) const {
  if (const auto found = setup_.zoo.find(name); found != setup_.zoo.end()) return found->second;
  std::vector<std::string_view> names;
  for (const auto& [known, source] : setup_.zoo) names.push_back(known);
  const std::string near = lua::nearest(name, names);
  return fail(
      "script_error",
      fmt::format("there is no quantizer '{}'{}", name.substr(0, 60),
                  near.empty() ? "; zoo() lists them" : fmt::format(", did you mean '{}'?", near)));
}

Result<lua::Quantizer*> Evaluator::zoo(const std::string& name) {
  if (const auto known = zoo_.find(name); known != zoo_.end()) return known->second.get();
  BITLOOP_ASSIGN(source, zoo_source(name));
  BITLOOP_ASSIGN(loaded, lua::Quantizer::load(source.text, source.name, setup_.limits));
  return (zoo_[name] = std::move(loaded)).get();
}

void Evaluator::run_chunk(lua_State* L, std::string_view code, int64_t line, bool more,
                          Answer& answer) {
  guest_->registry->release_pending(L);
  const std::string name = "=" + setup_.chunk_name;
  const std::string before(static_cast<size_t>(line - 1), '\n');
  const auto load = [&](const char* prefix) {
    const std::string text = before + prefix + std::string(code);
    const int status = luaL_loadbufferx(L, text.data(), text.size(), name.c_str(), "t");
    if (status == LUA_ERRMEM) guest_->trip(L, lua::Trip::kMemory, "out of memory");
    return status == LUA_OK;
  };
  if (!load("return ")) {
    lua_settop(L, 0);
    if (!load("")) {
      answer.incomplete = more && std::string_view(lua_tostring(L, -1)).ends_with("<eof>");
      if (answer.incomplete) return;
      lua_error(L);
    }
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, environment_);
  lua_setupvalue(L, -2, 1);
  lua_call(L, 0, LUA_MULTRET);
  if (lua_gettop(L) > 0) shell::print(L);
}

Answer Evaluator::evaluate(std::string_view code, int64_t line, bool more) {
  const at::NoGradGuard no_graph;
  Answer answer;
  const Status done = guest_->run(setup_.limits.call_seconds,
                                  [&](lua_State* L) { run_chunk(L, code, line, more, answer); });
  if (done) return answer;
  answer.error = tidy(done.error());
  if (answer.error.code == "out_of_memory" && memory_is_full()) {
    make_state();
    answer.lost = true;
    // It was loaded before; should it fail now, Q is nil, as in a shell without a file.
    if (quantizer_) (void)load(Source(source_));
  }
  return answer;
}

bool Evaluator::memory_is_full() {
  (void)guest_->run(setup_.limits.call_seconds, [](lua_State* L) { lua_gc(L, LUA_GCCOLLECT); });
  return guest_->bytes() > setup_.limits.lua_bytes / 8 * 7;
}

// Without the chunk's name before a position in another file, and with a hint for absent names.
Error Evaluator::tidy(Error error) const {
  const std::string prefix = setup_.chunk_name + ": ";
  if (error.message.starts_with(prefix)) {
    const size_t colon = error.message.find(':', prefix.size());
    if (colon != std::string::npos && colon + 1 < error.message.size() &&
        error.message[colon + 1] >= '0' && error.message[colon + 1] <= '9')
      error.message.erase(0, prefix.size());
  }
  lua::add_absent_hint(error.message);
  lua::add_syntax_hint(error.message);
  return error;
}

std::vector<std::string> Evaluator::complete(std::string_view text) {
  std::vector<std::string> names;
  // What can't be completed within the limits has no completion.
  (void)guest_->run(1.0, [&](lua_State* L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, environment_);
    names = completions(L, text, zoo_names());
  });
  return names;
}

}  // namespace bitloop::trainer::shell
