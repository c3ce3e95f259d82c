// The Lua of `bitloop lua`: one guest with the sandbox's environment, where assignments to globals
// stay, and with functions that exist only here (print, quantize, hist, help, torch.randn, …).
// Quantizers are loaded as training loads them, in states of their own; `Q` is the same file's
// table once more, within the shell's state, so that its functions can be called by hand.
//
// Invariants:
//  1. No candidate sees the shell's environment or its random numbers, unless a chunk passes them
//  in.
//  2. Limits are those of one call of a candidate, a chunk at a time. Whatever a chunk does, the
//     next one starts; when Lua's memory is full, with an empty environment (Answer::lost).
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "lua/quantizer/quantizer.h"
#include "lua/runtime/guest.h"
#include "lua/tensor/tensor_heap.h"
#include "trainer/checkpoint/safetensors.h"

namespace bitloop::trainer::shell {

struct Source {
  std::string name;  // what messages call it: "ternary.lua"
  std::string text;
};

// A global that is there from the start: one tensor, or a table of several.
struct Global {
  std::string name;
  at::Tensor tensor;
  NamedTensors named;  // when `tensor` is undefined
};

struct Answer {
  bool incomplete = false;  // the chunk ends too early: ask for more lines
  bool lost = false;        // the environment had to be made anew
  Error error;              // code "" when all went well
};

class Evaluator {
 public:
  struct Setup {
    std::string chunk_name;             // in messages: "-e", "stdin", "lua"
    std::map<std::string, Source> zoo;  // by the quantizer's name
    std::vector<Global> globals;
    lua::Limits limits;
    std::function<void(std::string_view)> output;  // what print writes
    std::function<Result<Source>()> read_source;   // FILE as it is now, for reload()
  };
  explicit Evaluator(Setup setup);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // Makes this file Q. Errors are those of lua::Quantizer::load; then Q is as it was.
  Status load(const Source& source);
  // Runs a chunk whose first line is number `line`; the values of an expression are printed.
  // `more`: more lines may follow, so a chunk that ends too early is not yet an error.
  Answer evaluate(std::string_view code, int64_t line, bool more);
  // The names that may stand for the last word of `text`: whole words ("torch.clamp"), sorted.
  std::vector<std::string> complete(std::string_view text);

  // For the functions of the shell (functions.cpp).
  static Evaluator& of(lua_State* L);
  void print(std::string_view text) { setup_.output(text); }
  Result<Source> read_source() { return setup_.read_source(); }
  // The loaded quantizer of this name in the zoo. Error "script_error" with the nearest name.
  Result<lua::Quantizer*> zoo(const std::string& name);
  std::vector<std::string> zoo_names() const;
  // Makes a quantizer Q from within a running chunk; raises what the file raises.
  void load_within(lua_State* L, const Source& source);
  Result<Source> zoo_source(const std::string& name) const;
  // The quantizer behind the table at `index`; null when it is not the loaded Q.
  lua::Quantizer* loaded(lua_State* L, int index);
  // Pushes a global of the shell.
  void push_global(lua_State* L, const char* name);
  at::Generator& generator() { return generator_; }
  const at::Tensor& default_weight() const { return default_weight_; }
  const lua::Format* loaded_format() const { return quantizer_ ? &quantizer_->format() : nullptr; }

 private:
  void make_state();
  void make_environment(lua_State* L);
  void push_table_of(lua_State* L, const Source& source);
  void run_chunk(lua_State* L, std::string_view code, int64_t line, bool more, Answer& answer);
  bool memory_is_full();
  Error tidy(Error error) const;

  Setup setup_;
  at::Generator generator_;
  at::Tensor default_weight_, default_input_;
  std::map<std::string, std::unique_ptr<lua::Quantizer>> zoo_;
  std::unique_ptr<lua::Quantizer> quantizer_;  // behind Q
  Source source_;
  std::unique_ptr<lua::Guest> guest_;
  std::unique_ptr<lua::TensorHeap> heap_;        // freed before the state
  int environment_ = 0, libraries_ = 0, q_ = 0;  // registry references
};

}  // namespace bitloop::trainer::shell
