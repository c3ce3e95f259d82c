// The quantizer contract in C++: one Lua state with one loaded quantizer file, and its functions as
// C++ calls. What a file may say is in docs/lua.md; what its numbers are worth (shapes, levels,
// bits) is the trainer's audit.
//
// Legend: N output features, K input features, R rows (batch x tokens).
// All tensors that come back are float32. Grad mode is the caller's: under autograd the graph leads
// from what a function returned back to its tensors and parameters. Not thread-safe; a Quantizer
// must outlive the graphs made with it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "lua/runtime/limits.h"
#include "lua/tensor/backward_error.h"

namespace bitloop::lua {

struct Graph;  // lua/capture/graph.h

// What a layer is: for ctx.layer and Q.init.
struct Layer {
  std::string name;              // "h.0.attn.c_attn"
  int64_t index = 0, count = 1;  // 0-based place among the quantised layers, and their number
  std::string kind;              // "attn_qkv" | "attn_proj" | "mlp_fc" | "mlp_proj" | "head"
  int64_t in_features = 0, out_features = 0;  // K, N
};

// What a call sees beside its tensor. Params and state belong to the layer; tensors are shared, not
// copied. Null pointers read as nil or as empty tables.
struct Context {
  int64_t step = 0, total_steps = 1;  // progress = step / total_steps
  bool training = false;
  const Layer* layer = nullptr;
  const std::map<std::string, at::Tensor>* params =
      nullptr;  // learnable, from Q.init; may require grad
  const std::map<std::string, at::Tensor>* state = nullptr;  // persistent, read-only
};

// The declared number format: everything a file says that is not a function.
struct Format {
  std::string name, doc;
  std::vector<double>
      levels;  // ascending, distinct, finite; from levels or bits; empty: none declared
  int64_t codebook_entries = 0, codebook_block = 0;  // 0: no codebook
  int64_t group = 0;                                 // inputs that share a scale; 0: not grouped
  bool flat_groups = false;                          // groups run over the flattened tensor
  int activation_bits = 8;                           // 4, 8 or 16
  at::ScalarType scale_dtype = at::kHalf;            // kHalf or kFloat
  bool quantizes_weights = false, quantizes_activations = false;  // the functions are present
  bool blend_output = false;                                      // Q.blend == "output"
  int64_t requantize_every = 0;                                   // 0: at every step
  int64_t hadamard_block = 0;                                     // 0: no transform
};

// What a quantising function returned: types are checked, values and shapes are not. Undefined
// where absent; a plain Lua number became a 0-d tensor.
struct Quantized {
  at::Tensor codes, scale, offset, codebook, surrogate;
};

// What Q.init returned: tensors of their own (detached copies). `weight` is undefined when the file
// does not set it.
struct InitResult {
  struct Param {
    at::Tensor value;
    double lr_scale = 1, weight_decay = 0;
  };
  std::map<std::string, Param> params;
  std::map<std::string, at::Tensor> state;
  at::Tensor weight;
};

// What a recorded call did, as a graph; null with the reason where it can't be captured.
struct Recording {
  std::shared_ptr<const Graph> graph;
  std::string reason;
  // Of ctx, also where there is no graph.
  bool reads_step = false, reads_layer = false;
};

// Calls return an Error whose code is the test's status: "script_error" (does not parse, raises,
// wrong type, missing return), "timeout" or "out_of_memory"; its message begins with
// "candidate.lua:17: " wherever there is a line.
class Quantizer {
 public:
  // `file_name` is what messages call the file ("candidate.lua"); nothing is opened.
  // `device`: where tensors come from and are made.
  static Result<std::unique_ptr<Quantizer>> load(std::string_view source,
                                                 std::string_view file_name, const Limits& limits,
                                                 at::Device device = at::kCPU);
  ~Quantizer();  // runs no Lua code: frees the tensors, then drops the allocator's memory

  const Format& format() const;
  // Q.config as JSON: an object of numbers, booleans, strings and nested tables; {} when absent.
  // Bounds are the trainer's.
  const nlohmann::json& config() const;
  // Whether the file defines this function of Q: "weight_quant", "lambda", …
  bool has(std::string_view function) const;

  // codes, scale, … of w_NK (float32). Requires: has("weight_quant").
  // `recording`: also record the call (the caller turns gradients off for that).
  Result<Quantized> weight_quant(const at::Tensor& w_NK, const Context& context,
                                 Recording* recording = nullptr);
  // The same of x_RK. Requires: has("activation_quant").
  Result<Quantized> activation_quant(const at::Tensor& x_RK, const Context& context,
                                     Recording* recording = nullptr);
  // The following require has(their name).
  Result<InitResult> init(const Layer& layer, const at::Tensor& weight_NK);
  Result<double> lambda(const Context& context);  // 0..1
  Result<at::Tensor> row_bias(const at::Tensor& w_NK, const at::Tensor& codes_NK,
                              const Context& context);
  Result<at::Tensor> input(const at::Tensor& x_RK, const Context& context);
  // `recording`: as above; then tensors, parameters and state may all be without numbers (meta
  // tensors), as long as the function reads none.
  Result<at::Tensor> regularizer(const at::Tensor& w_NK, const at::Tensor& value_NK,
                                 const Context& context, Recording* recording = nullptr);
  // The state that replaces context.state: the same names. `weight_NK`: what the codes stand for.
  Result<std::map<std::string, at::Tensor>> after_step(const Context& context,
                                                       const at::Tensor& codes_NK,
                                                       const at::Tensor& weight_NK = {});

  // A digest of all that a call could have changed (upvalues, tables and tensors that Q's functions
  // reach): equal before and after a pure call. Comparable within this Quantizer only.
  std::string state_digest() const;

 private:
  struct Impl;
  explicit Quantizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::lua
