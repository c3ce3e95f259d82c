// What a captured quantising function does, as a small typed graph: every node is a matrix of the
// run's shape (kFull), one number a row (kRow), one a column (kColumn) or one number (kScalar).
// A "row" is what reductions run along: all inputs of an output feature or token, or one group of
// them. Nodes stand in the order of their execution.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bitloop::lua {

enum class Kind : uint8_t { kScalar, kColumn, kRow, kFull };

enum class NodeOp : uint8_t {
  kInput,     // GraphNode::input
  kConstant,  // GraphNode::number
  // one operand
  kNegate,
  kAbs,
  kSign,
  kRound,
  kSteRound,  // forward as kRound; the gradient passes unchanged
  kFloor,
  kCeil,
  kTruncate,
  kSquare,
  kSqrt,
  kRoot,  // forward as kSqrt; no gradient at 0, as norm and std have it
  kRsqrt,
  kReciprocal,
  kExp,
  kLog,
  kTanh,
  kSigmoid,
  kNot,
  kDetach,    // forward the operand; no gradient
  kExpand,    // a row, column or scalar as a full matrix
  kClampMin,  // max(a, number)
  kClampMax,  // min(a, number)
  // two operands
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kMaximum,
  kMinimum,
  kLess,
  kLessEqual,
  kEqual,
  kNotEqual,
  kPower,
  kWhere,  // three: a != 0 ? b : c
  // reductions
  kRowSum,
  kRowMaximum,
  kRowMinimum,
  kAllSum,
  kAllMaximum,
  kAllMinimum,
  kColumnSum,  // in gradients only
};

struct GraphNode {
  NodeOp op = NodeOp::kConstant;
  Kind kind = Kind::kScalar;
  int a = -1, b = -1, c = -1;  // nodes
  float number = 0.0f;
  int input = -1;

  bool operator==(const GraphNode&) const = default;
};

// A tensor that the function reads. Parameters and state are bound by name at each run, because
// their tensors may be replaced; constants are kept.
struct GraphInput {
  enum Source : uint8_t {
    kArgument,
    kParameter,
    kState,
    kConstant,
    kGradient,
    kValue  // a regularizer's second tensor, of the argument's shape
  } source = kConstant;
  std::string name;
  at::Tensor constant;
  Kind kind = Kind::kFull;
};

struct Graph {
  int64_t rows = 0, columns = 0;  // of a kFull node, as reductions see it
  std::vector<GraphNode> nodes;
  std::vector<GraphInput> inputs;                           // [0] is the function's tensor
  int codes = -1, scale = -1, offset = -1, surrogate = -1;  // nodes, -1 where not returned
  std::vector<int64_t> scale_shape, offset_shape;           // of the tensors that were returned
  bool reads_step = false;   // ctx.step or ctx.progress was read: holds for this step only
  bool reads_layer = false;  // ctx.layer was read: holds for this layer only
  bool reads_size = false;   // a tensor's size was read: holds for arguments of this shape only
  // An operation that LibTorch rounds once became several nodes: the same but for a last bit.
  bool rounds_apart = false;
  int result = -1;  // of a regularizer: its number

  int add(GraphNode node) {
    nodes.push_back(node);
    return static_cast<int>(nodes.size()) - 1;
  }
  int constant(float number) { return add({.op = NodeOp::kConstant, .number = number}); }
};

}  // namespace bitloop::lua
