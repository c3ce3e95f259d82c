#include "tests/trainer/model/noisy_graph.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace bitloop::trainer {
namespace {

using lua::Graph;
using lua::GraphInput;
using lua::GraphNode;
using lua::Kind;
using lua::NodeOp;

// Half a rounding is 2^-24; a sum in another order and the program's exp and tanh err by a few.
constexpr double kNoise = 0x1p-21;

class NoisyRun {
 public:
  NoisyRun(const Graph& graph, const GraphNumbers& numbers, uint64_t seed)
      : graph_(graph), numbers_(numbers), random_(at::detail::createCPUGenerator(seed)) {}

  std::vector<at::Tensor> run(std::span<const int> outputs) {
    std::vector<bool> needed(graph_.nodes.size(), false);
    for (const int n : outputs) needed[static_cast<size_t>(n)] = true;
    for (size_t n = graph_.nodes.size(); n-- > 0;)
      for (const int m : {graph_.nodes[n].a, graph_.nodes[n].b, graph_.nodes[n].c})
        if (needed[n] && m >= 0) needed[static_cast<size_t>(m)] = true;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const GraphNode& node = graph_.nodes[n];
      values_.push_back(needed[n] ? blurred(node, value(node)) : at::Tensor());
    }
    std::vector<at::Tensor> made;
    for (const int n : outputs) made.push_back(values_[static_cast<size_t>(n)]);
    return made;
  }

 private:
  const at::Tensor& at_node(int n) const { return values_[static_cast<size_t>(n)]; }

  at::Tensor input(const GraphInput& input) const {
    at::Tensor tensor;
    switch (input.source) {
      case GraphInput::kArgument: tensor = numbers_.argument; break;
      case GraphInput::kGradient: tensor = numbers_.gradient; break;
      case GraphInput::kParameter: tensor = numbers_.params->at(input.name); break;
      case GraphInput::kState: tensor = numbers_.state->at(input.name); break;
      case GraphInput::kConstant: tensor = input.constant; break;
    }
    const int64_t rows = input.kind == Kind::kFull || input.kind == Kind::kRow ? graph_.rows : 1,
                  columns =
                      input.kind == Kind::kFull || input.kind == Kind::kColumn ? graph_.columns : 1;
    return tensor.detach().reshape({rows, columns});
  }

  // Numbers that are whole, chosen or copied are exact.
  at::Tensor blurred(const GraphNode& node, const at::Tensor& value) {
    switch (node.op) {
      case NodeOp::kSquare:
      case NodeOp::kSqrt:
      case NodeOp::kRoot:
      case NodeOp::kRsqrt:
      case NodeOp::kReciprocal:
      case NodeOp::kExp:
      case NodeOp::kLog:
      case NodeOp::kTanh:
      case NodeOp::kSigmoid:
      case NodeOp::kAdd:
      case NodeOp::kSubtract:
      case NodeOp::kMultiply:
      case NodeOp::kDivide:
      case NodeOp::kPower:
        return blurred(value);
      default:
        return value;
    }
  }

  at::Tensor blurred(const at::Tensor& value) {
    return value * (1 + at::empty(value.sizes()).uniform_(-kNoise, kNoise, random_));
  }

  at::Tensor full(const at::Tensor& x) const { return x.expand({graph_.rows, graph_.columns}); }

  at::Tensor value(const GraphNode& node) {
    if (node.op == NodeOp::kInput) return input(graph_.inputs[static_cast<size_t>(node.input)]);
    if (node.op == NodeOp::kConstant) return at::full({1, 1}, node.number, at::kFloat);
    const at::Tensor& a = at_node(node.a);
    const at::Tensor b = node.b >= 0 ? at_node(node.b) : at::Tensor();
    switch (node.op) {
      case NodeOp::kNegate: return -a;
      case NodeOp::kAbs: return a.abs();
      case NodeOp::kSign: return a.sign();
      case NodeOp::kRound:
      case NodeOp::kSteRound: return a.round();
      case NodeOp::kFloor: return a.floor();
      case NodeOp::kCeil: return a.ceil();
      case NodeOp::kTruncate: return a.trunc();
      case NodeOp::kSquare: return a.square();
      case NodeOp::kSqrt:
      case NodeOp::kRoot: return a.sqrt();
      case NodeOp::kRsqrt: return a.rsqrt();
      case NodeOp::kReciprocal: return a.reciprocal();
      case NodeOp::kExp: return a.exp();
      case NodeOp::kLog: return a.log();
      case NodeOp::kTanh: return a.tanh();
      case NodeOp::kSigmoid: return a.sigmoid();
      case NodeOp::kNot: return a.eq(0).to(at::kFloat);
      case NodeOp::kExpand:
        return a.expand({node.kind >= Kind::kRow ? graph_.rows : 1,
                         node.kind == Kind::kFull ? graph_.columns : a.size(1)});
      case NodeOp::kClampMin: return a.clamp_min(node.number);
      case NodeOp::kClampMax: return a.clamp_max(node.number);
      case NodeOp::kAdd: return a + b;
      case NodeOp::kSubtract: return a - b;
      case NodeOp::kMultiply: return a * b;
      case NodeOp::kDivide: return a / b;
      case NodeOp::kMaximum: return at::maximum(a, b);
      case NodeOp::kMinimum: return at::minimum(a, b);
      case NodeOp::kLess: return a.lt(b).to(at::kFloat);
      case NodeOp::kLessEqual: return a.le(b).to(at::kFloat);
      case NodeOp::kEqual: return a.eq(b).to(at::kFloat);
      case NodeOp::kNotEqual: return a.ne(b).to(at::kFloat);
      case NodeOp::kPower: return at::pow(a, b);
      case NodeOp::kWhere: return at::where(a.ne(0), b, at_node(node.c));
      case NodeOp::kRowSum: return blurred(full(a)).sum({1}, true);  // each addend: they may cancel
      case NodeOp::kRowMaximum: return full(a).amax({1}, true);
      case NodeOp::kRowMinimum: return full(a).amin({1}, true);
      case NodeOp::kAllSum: return blurred(whole(a)).sum().view({1, 1});
      case NodeOp::kAllMaximum: return whole(a).max().view({1, 1});
      case NodeOp::kAllMinimum: return whole(a).min().view({1, 1});
      case NodeOp::kColumnSum: return blurred(full(a)).sum({0}, true);
      default: return a;
    }
  }

  // What a sum over all is taken of: rows stay rows.
  at::Tensor whole(const at::Tensor& a) const {
    return a.size(1) == 1 && a.size(0) > 1 ? a : full(a);
  }

  const Graph& graph_;
  const GraphNumbers& numbers_;
  at::Generator random_;
  std::vector<at::Tensor> values_;
};

}  // namespace

std::vector<at::Tensor> run_noisily(const Graph& graph, std::span<const int> outputs,
                                    const GraphNumbers& numbers, uint64_t seed) {
  return NoisyRun(graph, numbers, seed).run(outputs);
}

}  // namespace bitloop::trainer
