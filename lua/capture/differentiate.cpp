#include "lua/capture/differentiate.h"

#include <fmt/format.h>

#include <algorithm>

namespace bitloop::lua {
namespace {

class Differentiator {
 public:
  explicit Differentiator(const Graph& forward) { made_.graph = forward; }

  Result<GradientGraph> run(int output) {
    Graph& g = made_.graph;
    const auto forward_count = static_cast<int>(g.nodes.size());
    adjoint_.assign(static_cast<size_t>(forward_count), -1);
    adjoint_[static_cast<size_t>(output)] = seed(output);
    for (int n = output; n >= 0; --n)
      if (const int adjoint = adjoint_[static_cast<size_t>(n)]; adjoint >= 0)
        BITLOOP_TRY(backward(n, adjoint));
    const std::vector<bool> reached = ways_from(output);
    for (int n = 0; n < forward_count; ++n) {
      const GraphNode& node = g.nodes[static_cast<size_t>(n)];
      if (node.op != NodeOp::kInput) continue;
      const GraphInput& input = g.inputs[static_cast<size_t>(node.input)];
      const int adjoint = adjoint_[static_cast<size_t>(n)];
      const bool zero = adjoint < 0 && reached[static_cast<size_t>(n)];
      if (input.source == GraphInput::kArgument) {
        made_.argument = adjoint < 0 ? -1 : widened(adjoint, Kind::kFull);
        made_.argument_zero = zero;
      } else if (input.source == GraphInput::kParameter) {
        made_.parameters.push_back({input.name, adjoint, zero});
      }
    }
    return std::move(made_);
  }

 private:
  // What the gradient of the output is multiplied by: an input, or 1 for a number.
  int seed(int output) {
    Graph& g = made_.graph;
    if (kind(output) == Kind::kScalar) return number(1);
    g.inputs.push_back(
        {.source = GraphInput::kGradient, .name = {}, .constant = {}, .kind = Kind::kFull});
    return g.add({.op = NodeOp::kInput,
                  .kind = Kind::kFull,
                  .input = static_cast<int>(g.inputs.size()) - 1});
  }
  // The nodes that autograd's graph would hold.
  std::vector<bool> ways_from(int output) const {
    std::vector<bool> reached(adjoint_.size(), false);
    reached[static_cast<size_t>(output)] = true;
    for (int n = output; n >= 0; --n) {
      if (!reached[static_cast<size_t>(n)]) continue;
      const GraphNode& node = made_.graph.nodes[static_cast<size_t>(n)];
      switch (node.op) {
        case NodeOp::kDetach:
        case NodeOp::kNot:
        case NodeOp::kLess:
        case NodeOp::kLessEqual:
        case NodeOp::kEqual:
        case NodeOp::kNotEqual:
          continue;
        default:
          break;
      }
      for (const int m : {node.op == NodeOp::kWhere ? -1 : node.a, node.b, node.c})
        if (m >= 0) reached[static_cast<size_t>(m)] = true;
    }
    return reached;
  }
  Kind kind(int n) const { return made_.graph.nodes[static_cast<size_t>(n)].kind; }
  int unary(NodeOp op, int a) { return made_.graph.add({.op = op, .kind = kind(a), .a = a}); }
  int binary(NodeOp op, int a, int b) {
    return made_.graph.add({.op = op, .kind = std::max(kind(a), kind(b)), .a = a, .b = b});
  }
  int where(int condition, int yes, int no) {
    return made_.graph.add({.op = NodeOp::kWhere,
                            .kind = std::max({kind(condition), kind(yes), kind(no)}),
                            .a = condition,
                            .b = yes,
                            .c = no});
  }
  int number(double value) { return made_.graph.constant(static_cast<float>(value)); }
  int times(int a, int b) { return binary(NodeOp::kMultiply, a, b); }
  int widened(int n, Kind to) {
    if (kind(n) == to) return n;
    return made_.graph.add({.op = NodeOp::kExpand, .kind = to, .a = n});
  }

  // The gradient `adjoint` of something of kind `from`, summed to an operand of kind `to`.
  int narrowed(int adjoint, Kind from, Kind to) {
    if (to == Kind::kFull || from == to) return adjoint;
    const int whole = widened(adjoint, from);
    if (from == Kind::kRow && to == Kind::kScalar)
      return made_.graph.add({.op = NodeOp::kAllSum, .kind = to, .a = whole});
    const NodeOp op = to == Kind::kRow      ? NodeOp::kRowSum
                      : to == Kind::kColumn ? NodeOp::kColumnSum
                                            : NodeOp::kAllSum;
    return made_.graph.add({.op = op, .kind = to, .a = whole});
  }

  // Adds the gradient of node `n` (of kind `from`'s shape) to operand `to`.
  void pass(int to, int adjoint, Kind from) {
    if (to < 0) return;
    const GraphNode& node = made_.graph.nodes[static_cast<size_t>(to)];
    if (node.op == NodeOp::kConstant) return;
    const int summed = narrowed(adjoint, from, node.kind);
    int& slot = adjoint_[static_cast<size_t>(to)];
    slot = slot < 0 ? summed : binary(NodeOp::kAdd, slot, summed);
  }

  Status backward(int n, int g) {
    const GraphNode node = made_.graph.nodes[static_cast<size_t>(n)];  // a copy: nodes grow
    const Kind k = node.kind;
    const int a = node.a, b = node.b;
    const auto one_minus = [&](int x) { return binary(NodeOp::kSubtract, number(1), x); };
    switch (node.op) {
      case NodeOp::kInput:
      case NodeOp::kConstant:
      case NodeOp::kDetach:
      case NodeOp::kSign:
      case NodeOp::kRound:
      case NodeOp::kFloor:
      case NodeOp::kCeil:
      case NodeOp::kTruncate:
      case NodeOp::kNot:
      case NodeOp::kLess:
      case NodeOp::kLessEqual:
      case NodeOp::kEqual:
      case NodeOp::kNotEqual:
        return {};
      case NodeOp::kSteRound:
      case NodeOp::kExpand:
        pass(a, g, k);
        return {};
      case NodeOp::kNegate:
        pass(a, unary(NodeOp::kNegate, g), k);
        return {};
      case NodeOp::kAbs:
        pass(a, times(g, unary(NodeOp::kSign, a)), k);
        return {};
      case NodeOp::kSquare:
        pass(a, times(g, times(number(2), a)), k);
        return {};
      case NodeOp::kSqrt:
        pass(a, binary(NodeOp::kDivide, g, times(number(2), n)), k);
        return {};
      case NodeOp::kRoot:
        pass(a,
             where(binary(NodeOp::kEqual, n, number(0)), number(0),
                   binary(NodeOp::kDivide, g, times(number(2), n))),
             k);
        return {};
      case NodeOp::kRsqrt:
        pass(a, times(g, times(number(-0.5), times(n, times(n, n)))), k);
        return {};
      case NodeOp::kReciprocal:
        pass(a, unary(NodeOp::kNegate, times(g, times(n, n))), k);
        return {};
      case NodeOp::kExp:
        pass(a, times(g, n), k);
        return {};
      case NodeOp::kLog:
        pass(a, binary(NodeOp::kDivide, g, a), k);
        return {};
      case NodeOp::kTanh:
        pass(a, times(g, one_minus(times(n, n))), k);
        return {};
      case NodeOp::kSigmoid:
        pass(a, times(g, times(n, one_minus(n))), k);
        return {};
      case NodeOp::kClampMin:
        pass(a, where(binary(NodeOp::kLessEqual, number(node.number), a), g, number(0)), k);
        return {};
      case NodeOp::kClampMax:
        pass(a, where(binary(NodeOp::kLessEqual, a, number(node.number)), g, number(0)), k);
        return {};
      case NodeOp::kAdd:
        pass(a, g, k);
        pass(b, g, k);
        return {};
      case NodeOp::kSubtract:
        pass(a, g, k);
        pass(b, unary(NodeOp::kNegate, g), k);
        return {};
      case NodeOp::kMultiply:
        pass(a, times(g, b), k);
        pass(b, times(g, a), k);
        return {};
      case NodeOp::kDivide:
        if (k == Kind::kFull && (kind(b) == Kind::kRow || kind(b) == Kind::kScalar)) {
          // Once a row, not once an element: a division takes as long as ten products.
          const int share = unary(NodeOp::kReciprocal, b);
          pass(a, times(g, share), k);
          pass(b, times(times(g, n), unary(NodeOp::kNegate, share)), k);
          return {};
        }
        pass(a, binary(NodeOp::kDivide, g, b), k);
        pass(b, unary(NodeOp::kNegate, binary(NodeOp::kDivide, times(g, n), b)), k);
        return {};
      case NodeOp::kMaximum:
      case NodeOp::kMinimum: {
        const bool maximum = node.op == NodeOp::kMaximum;
        // Chosen, not multiplied by 0 or 1: an infinite gradient stays away from the smaller.
        const int shared = where(binary(NodeOp::kEqual, a, b), times(number(0.5), g), g);
        const int a_below = binary(NodeOp::kLess, a, b), b_below = binary(NodeOp::kLess, b, a);
        pass(a, where(maximum ? a_below : b_below, number(0), shared), k);
        pass(b, where(maximum ? b_below : a_below, number(0), shared), k);
        return {};
      }
      case NodeOp::kPower: {
        const GraphNode& exponent = made_.graph.nodes[static_cast<size_t>(b)];
        if (exponent.op != NodeOp::kConstant) break;
        const double p = exponent.number;
        pass(a, times(g, times(number(p), binary(NodeOp::kPower, a, number(p - 1)))), k);
        return {};
      }
      case NodeOp::kWhere:
        pass(b, where(a, g, number(0)), k);
        pass(node.c, where(a, number(0), g), k);
        return {};
      case NodeOp::kRowSum:
      case NodeOp::kAllSum:
        pass(a, widened(g, kind(a)), kind(a));
        return {};
      case NodeOp::kRowMaximum:
      case NodeOp::kRowMinimum:
      case NodeOp::kAllMaximum:
      case NodeOp::kAllMinimum: {
        const bool row = node.op == NodeOp::kRowMaximum || node.op == NodeOp::kRowMinimum;
        const int mask = binary(NodeOp::kEqual, a, n);
        const int count =
            made_.graph.add({.op = row ? NodeOp::kRowSum : NodeOp::kAllSum, .kind = k, .a = mask});
        pass(a, times(binary(NodeOp::kDivide, g, count), mask), kind(a));
        return {};
      }
      case NodeOp::kColumnSum:
        break;
    }
    return fail("not_captured", "an operation without a captured gradient");
  }

  GradientGraph made_;
  std::vector<int> adjoint_;
};

}  // namespace

Result<GradientGraph> differentiate(const Graph& forward, int output) {
  if (forward.nodes[static_cast<size_t>(output)].kind != Kind::kFull)
    return fail("not_captured", "the surrogate has one number where the value has many");
  return Differentiator(forward).run(output);
}

Result<GradientGraph> differentiate_number(const Graph& forward, int output) {
  if (forward.nodes[static_cast<size_t>(output)].kind != Kind::kScalar)
    return fail("not_captured", "the result has many numbers");
  return Differentiator(forward).run(output);
}

}  // namespace bitloop::lua
