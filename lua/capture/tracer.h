// Records what a quantising function does while it runs eagerly: each operation on a tensor that
// depends on the function's argument, a parameter or the state becomes a node of a graph. Whatever
// the graph can't express ends the recording with a reason; the function's own result is never
// touched.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lua/capture/graph.h"

namespace bitloop::lua {

// An argument of an operation as the tracer needs it.
struct TracedArgument {
  enum Type : uint8_t { kNone, kTensor, kNumber, kBoolean, kList, kOther } type = kNone;
  at::Tensor tensor;
  double number = 0.0;        // kNumber; kBoolean: 0 or 1
  std::vector<int64_t> list;  // kList; a number where a list was possible stays kNumber
};

class Tracer {
 public:
  // `argument` (R, K) is the tensor that the function is called with.
  explicit Tracer(const at::Tensor& argument);

  // A second tensor of the argument's shape.
  void bind_value(const at::Tensor& value);
  void bind_parameters(const std::map<std::string, at::Tensor>& params);
  void bind_state(const std::map<std::string, at::Tensor>& state);

  // Operation `name` (as in the manual, operators by their function's name) was called and gave
  // `results`.
  void record(std::string_view name, std::span<const TracedArgument> arguments,
              std::span<const at::Tensor> results);
  // A number left the world of tensors (x:item(), a comparison): the graph would be true for this
  // call only.
  void number_read(const at::Tensor& tensor, std::string_view how);
  void step_read() { graph_.reads_step = true; }
  void layer_read() { graph_.reads_layer = true; }
  bool reads_step() const { return graph_.reads_step; }
  bool reads_layer() const { return graph_.reads_layer; }
  // Ends the recording; the first reason stays.
  void give_up(std::string reason);

  bool depends(const at::Tensor& tensor) const { return traced_.contains(key(tensor)); }

  // The node of a returned tensor; what was not traced becomes a constant or an input.
  std::optional<int> node_of(const at::Tensor& tensor);
  // The graph, or why there is none.
  Graph* graph() { return reason_.empty() ? &graph_ : nullptr; }
  const std::string& reason() const { return reason_; }
  // Sets the rows and columns for good. Call once, at the end.
  void finish();

 private:
  struct Traced {
    int node;         // -1: changes from call to call, but the graph has no form for it
    at::Tensor keep;  // so that no other tensor takes its address
  };
  // A tensor as an operand of a node whose result has the shape `result`.
  struct Side {
    int node = -1;
    Kind kind = Kind::kScalar;
  };

  static const void* key(const at::Tensor& tensor) { return tensor.unsafeGetTensorImpl(); }
  void bind(const at::Tensor& tensor, GraphInput input);
  // A parameter or state; one whose shape the graph can't express ends the recording where it is
  // used.
  void bind_named(const at::Tensor& tensor, GraphInput::Source source, const std::string& name);
  void note(const at::Tensor& result, int node) { traced_[key(result)] = {node, result}; }
  bool used(int node) const;
  Kind kind_of(int node) const { return graph_.nodes[static_cast<size_t>(node)].kind; }
  // Which kind a tensor that comes from outside is; nullopt when none fits.
  std::optional<Kind> outside_kind(const at::Tensor& tensor) const;
  bool set_length(int64_t length);  // of a row; false where another was in use
  Side side(const TracedArgument& argument, at::IntArrayRef result);
  int unary(NodeOp op, int a, float number = 0.0f);
  int binary(NodeOp op, const Side& a, const Side& b);
  bool record_reduction(std::string_view name, std::span<const TracedArgument> arguments,
                        const at::Tensor& result);
  bool record_view(std::string_view name, const TracedArgument& argument, const at::Tensor& result);
  bool record_elementwise(std::string_view name, std::span<const TracedArgument> arguments,
                          const at::Tensor& result);

  Graph graph_;
  int64_t total_ = 0, argument_columns_ = 0;
  int64_t length_ = 0;  // of a row, 0 until something decides it
  std::unordered_map<const void*, Traced> traced_;
  std::string reason_;
};

}  // namespace bitloop::lua
