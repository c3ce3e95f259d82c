#include "lua/capture/lower.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <tuple>

namespace bitloop::lua {
namespace {

using kernels::Instruction;
using kernels::Operand;
using kernels::Place;
using kernels::RowOp;

constexpr float kWidestScaledCode = 256.0f;

bool is_all_reduction(NodeOp op) {
  return op == NodeOp::kAllSum || op == NodeOp::kAllMaximum || op == NodeOp::kAllMinimum;
}

RowOp row_op(NodeOp op) {
  switch (op) {
    case NodeOp::kNegate:
      return RowOp::kNegate;
    case NodeOp::kAbs:
      return RowOp::kAbs;
    case NodeOp::kSign:
      return RowOp::kSign;
    case NodeOp::kRound:
    case NodeOp::kSteRound:
      return RowOp::kRound;
    case NodeOp::kFloor:
      return RowOp::kFloor;
    case NodeOp::kCeil:
      return RowOp::kCeil;
    case NodeOp::kTruncate:
      return RowOp::kTruncate;
    case NodeOp::kSquare:
      return RowOp::kSquare;
    case NodeOp::kSqrt:
    case NodeOp::kRoot:
      return RowOp::kSqrt;
    case NodeOp::kRsqrt:
      return RowOp::kRsqrt;
    case NodeOp::kReciprocal:
      return RowOp::kReciprocal;
    case NodeOp::kExp:
      return RowOp::kExp;
    case NodeOp::kLog:
      return RowOp::kLog;
    case NodeOp::kTanh:
      return RowOp::kTanh;
    case NodeOp::kSigmoid:
      return RowOp::kSigmoid;
    case NodeOp::kNot:
      return RowOp::kNot;
    case NodeOp::kClampMin:
    case NodeOp::kMaximum:
      return RowOp::kMaximum;
    case NodeOp::kClampMax:
    case NodeOp::kMinimum:
      return RowOp::kMinimum;
    case NodeOp::kAdd:
      return RowOp::kAdd;
    case NodeOp::kSubtract:
      return RowOp::kSubtract;
    case NodeOp::kMultiply:
      return RowOp::kMultiply;
    case NodeOp::kDivide:
      return RowOp::kDivide;
    case NodeOp::kLess:
      return RowOp::kLess;
    case NodeOp::kLessEqual:
      return RowOp::kLessEqual;
    case NodeOp::kEqual:
      return RowOp::kEqual;
    case NodeOp::kNotEqual:
      return RowOp::kNotEqual;
    case NodeOp::kPower:
      return RowOp::kPower;
    case NodeOp::kWhere:
      return RowOp::kWhere;
    case NodeOp::kRowSum:
      return RowOp::kRowSum;
    case NodeOp::kRowMaximum:
      return RowOp::kRowMaximum;
    case NodeOp::kRowMinimum:
      return RowOp::kRowMinimum;
    case NodeOp::kAllSum:
      return RowOp::kAllSum;
    case NodeOp::kAllMaximum:
      return RowOp::kAllMaximum;
    case NodeOp::kAllMinimum:
      return RowOp::kAllMinimum;
    case NodeOp::kColumnSum:
      return RowOp::kColumnSum;
    case NodeOp::kInput:
    case NodeOp::kConstant:
    case NodeOp::kDetach:
    case NodeOp::kExpand:
      return RowOp::kCopy;
  }
  return RowOp::kCopy;
}

// The same graph with equal nodes merged and copies followed through; `place[n]` is where node n
// went.
Graph merged(const Graph& graph, std::vector<int>& place) {
  using Key = std::tuple<NodeOp, Kind, int, int, int, uint32_t, int>;  // the number's bits
  Graph made = graph;
  made.nodes.clear();
  std::map<Key, int> seen;
  place.assign(graph.nodes.size(), -1);
  const auto moved = [&](int n) { return n < 0 ? -1 : place[static_cast<size_t>(n)]; };
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    GraphNode node = graph.nodes[n];
    node.a = moved(node.a), node.b = moved(node.b), node.c = moved(node.c);
    if (node.op == NodeOp::kDetach ||
        (node.op == NodeOp::kExpand && made.nodes[static_cast<size_t>(node.a)].kind == node.kind)) {
      place[n] = node.a;
      continue;
    }
    if (node.op == NodeOp::kSteRound) node.op = NodeOp::kRound;
    if (node.op == NodeOp::kRoot) node.op = NodeOp::kSqrt;
    const Key key{node.op,   node.kind, node.a,
                  node.b,    node.c,    std::bit_cast<uint32_t>(node.number),
                  node.input};
    const auto [entry, fresh] = seen.try_emplace(key, static_cast<int>(made.nodes.size()));
    if (fresh) made.nodes.push_back(node);
    place[n] = entry->second;
  }
  return made;
}

class Lowering {
 public:
  Lowering(const Graph& graph, std::span<const int> outputs, bool divides) : divides_(divides) {
    std::vector<int> place;
    graph_ = merged(graph, place);
    for (const int n : outputs) outputs_.push_back(place[static_cast<size_t>(n)]);
  }

  LoweredProgram run() {
    bind_inputs();
    place_globals();
    const int count = walk_count();
    for (const int n : outputs_) {
      if (node(n).op == NodeOp::kColumnSum)
        column_outputs_.push_back(n);
      else
        made_.program.outputs.push_back(output(n));
    }
    for (int p = 0; p < count; ++p) emit_phase(p);
    emit_scalars(count, made_.program.finally);
    made_.program.globals = globals_;
    made_.program.column_outputs = static_cast<int>(column_outputs_.size());
    return std::move(made_);
  }

 private:
  const GraphNode& node(int n) const { return graph_.nodes[static_cast<size_t>(n)]; }

  void bind_inputs() {
    input_places_.resize(graph_.inputs.size());
    const std::vector<bool> used = needed_anywhere();
    std::vector<bool> read(graph_.inputs.size(), false);
    for (size_t n = 0; n < graph_.nodes.size(); ++n)
      if (used[n] && graph_.nodes[n].op == NodeOp::kInput)
        read[static_cast<size_t>(graph_.nodes[n].input)] = true;
    const auto put = [&](size_t i, Place place, std::vector<int>& list) {
      input_places_[i] = {.place = place, .index = static_cast<int>(list.size())};
      list.push_back(static_cast<int>(i));
    };
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      if (!read[i] && i != 0) continue;  // the argument is always full input 0
      switch (graph_.inputs[i].kind) {
        case Kind::kFull:
          put(i, Place::kFull, made_.full);
          break;
        case Kind::kRow:
          put(i, Place::kRowInput, made_.row);
          break;
        case Kind::kColumn:
          put(i, Place::kColumn, made_.column);
          break;
        case Kind::kScalar:
          put(i, Place::kGlobal, made_.scalars);
          break;
      }
    }
    globals_ = static_cast<int>(made_.scalars.size());
  }

  std::vector<bool> needed_anywhere() const {
    std::vector<bool> needed(graph_.nodes.size(), false);
    for (const int n : outputs_) needed[static_cast<size_t>(n)] = true;
    for (size_t n = graph_.nodes.size(); n-- > 0;) {
      if (!needed[n]) continue;
      for (const int m : {graph_.nodes[n].a, graph_.nodes[n].b, graph_.nodes[n].c})
        if (m >= 0) needed[static_cast<size_t>(m)] = true;
    }
    return needed;
  }

  // The phase in which a node can be computed, and a register for each scalar that is.
  void place_globals() {
    phase_.assign(graph_.nodes.size(), 0);
    global_.assign(graph_.nodes.size(), -1);
    const std::vector<bool> needed = needed_anywhere();
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const GraphNode& at = graph_.nodes[n];
      for (const int m : {at.a, at.b, at.c}) {
        if (m < 0) continue;
        const int after = is_all_reduction(node(m).op) ? 1 : 0;
        phase_[n] = std::max(phase_[n], phase_[static_cast<size_t>(m)] + after);
      }
      const bool is_leaf = at.op == NodeOp::kInput || at.op == NodeOp::kConstant;
      if (needed[n] && at.kind == Kind::kScalar && !is_leaf) global_[n] = globals_++;
    }
  }

  // How many times the rows are walked over. A result leaves with the walk that can make it; a
  // number that is made of the last walk's sums needs no further one.
  int walk_count() const {
    int count = 1;
    for (const int n : outputs_) {
      const int phase = phase_[static_cast<size_t>(n)];
      count = std::max(count, walks(n) ? phase + 1 : phase);
    }
    return count;
  }

  // Where it is, is filled in by the phase that makes it.
  kernels::Output output(int n) const {
    using Shape = kernels::Output::Shape;
    const Shape shape = node(n).kind == Kind::kFull  ? Shape::kFullShape
                        : node(n).kind == Kind::kRow ? Shape::kRowShape
                                                     : Shape::kScalarShape;
    return {.from = shape == Shape::kScalarShape ? operand(n) : Operand{},
            .shape = shape,
            .phase = phase_[static_cast<size_t>(n)]};
  }

  Operand operand(int n) const {
    if (n < 0) return {};
    const GraphNode& at = node(n);
    if (at.op == NodeOp::kConstant) return {.place = Place::kConstant, .number = at.number};
    if (at.op == NodeOp::kInput) return input_places_[static_cast<size_t>(at.input)];
    if (at.kind == Kind::kScalar)
      return {.place = Place::kGlobal, .index = global_[static_cast<size_t>(n)]};
    return {.place = at.kind == Kind::kRow ? Place::kRow : Place::kTile,
            .index = register_[static_cast<size_t>(n)]};
  }

  // round(a / b) or round(a * b) within bounds, b narrower than a: what nearly every quantiser ends
  // with. Bounds may stand inside round too, where they are whole numbers: rounding keeps those and
  // the order, so that it does not matter which comes first.
  struct Chain {
    int a, b;
    bool divides;
    float low = -std::numeric_limits<float>::infinity(),
          high = std::numeric_limits<float>::infinity();
  };
  std::optional<Chain> chain(int n) const {
    if (node(n).kind != Kind::kFull) return std::nullopt;
    Chain made{};
    made.low = -std::numeric_limits<float>::infinity();
    made.high = std::numeric_limits<float>::infinity();
    const auto clamps = [&](int m) {
      return node(m).op == NodeOp::kClampMin || node(m).op == NodeOp::kClampMax;
    };
    const auto bound = [&](int m) {
      if (node(m).op == NodeOp::kClampMin)
        made.low = std::max(made.low, node(m).number);
      else
        made.high = std::min(made.high, node(m).number);
    };
    int at = n;
    for (; clamps(at); at = node(at).a) bound(at);
    if (node(at).op != NodeOp::kRound) return std::nullopt;
    int inner = node(at).a;
    for (; clamps(inner) && std::rint(node(inner).number) == node(inner).number;
         inner = node(inner).a)
      bound(inner);
    // The product with a reciprocal is off by 2^-23 of the code: only few bits stay within 1e-5.
    const bool narrow_codes = made.low >= -kWidestScaledCode && made.high <= kWidestScaledCode;
    if (made.low > made.high || !narrow_codes) return std::nullopt;
    const GraphNode& scaled = node(inner);
    if (scaled.op != NodeOp::kDivide && scaled.op != NodeOp::kMultiply) return std::nullopt;
    made.divides = scaled.op == NodeOp::kDivide;
    if (made.divides && divides_) return std::nullopt;
    made.a = scaled.a, made.b = scaled.b;
    if (!made.divides && node(made.a).kind < Kind::kRow) std::swap(made.a, made.b);
    const auto narrow = [&](int m) {
      return node(m).kind == Kind::kRow || node(m).kind == Kind::kScalar;
    };
    if (node(made.a).kind != Kind::kFull || !narrow(made.b)) return std::nullopt;
    return made;
  }

  // What the step for node n reads: chains and |a| are looked through.
  std::vector<int> reads(int n) const {
    if (const auto found = chain(n)) return {found->a, found->b};
    const GraphNode& at = node(n);
    if (const auto inner = absolute(n)) return {*inner};
    std::vector<int> all;
    for (const int m : {at.a, at.b, at.c})
      if (m >= 0) all.push_back(m);
    return all;
  }
  // a where node n reduces |a|.
  std::optional<int> absolute(int n) const {
    const GraphNode& at = node(n);
    switch (at.op) {
      case NodeOp::kRowSum:
      case NodeOp::kRowMaximum:
      case NodeOp::kAllSum:
      case NodeOp::kAllMaximum:
        if (node(at.a).op == NodeOp::kAbs && node(at.a).kind == Kind::kFull) return node(at.a).a;
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

  bool walks(int n) const {  // computed tile by tile
    const GraphNode& at = node(n);
    if (at.op == NodeOp::kInput || at.op == NodeOp::kConstant) return false;
    return at.kind != Kind::kScalar || is_all_reduction(at.op);
  }

  // Scalars that are computable once the walks before p are done.
  void emit_scalars(int p, std::vector<Instruction>& steps) {
    const std::vector<bool> needed = needed_anywhere();
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!needed[n] || global_[n] < 0 || phase_[n] != p) continue;
      if (is_all_reduction(graph_.nodes[n].op)) continue;
      emit(static_cast<int>(n), {.place = Place::kGlobal, .index = global_[n]}, steps);
    }
  }

  // A matrix, row or column output of this phase.
  bool leaves_with(int n, int p) const {
    return node(n).kind != Kind::kScalar && phase_[static_cast<size_t>(n)] == p;
  }

  void emit_phase(int p) {
    kernels::Phase phase;
    const std::vector<bool> needed = needed_anywhere();
    emit_scalars(p, phase.scalars);
    // What this walk must give, and all it needs for that.
    std::vector<bool> wanted(graph_.nodes.size(), false);
    for (size_t n = 0; n < graph_.nodes.size(); ++n)
      wanted[n] = needed[n] && is_all_reduction(graph_.nodes[n].op) && phase_[n] == p;
    for (const int n : outputs_)
      if (leaves_with(n, p) && walks(n)) wanted[static_cast<size_t>(n)] = true;
    std::vector<int> uses(graph_.nodes.size(), 0);
    for (size_t n = graph_.nodes.size(); n-- > 0;) {
      if (!wanted[n]) continue;
      for (const int m : reads(static_cast<int>(n))) {
        ++uses[static_cast<size_t>(m)];
        if (walks(m) && !is_all_reduction(node(m).op)) wanted[static_cast<size_t>(m)] = true;
      }
    }
    for (const int n : outputs_)
      if (leaves_with(n, p)) ++uses[static_cast<size_t>(n)];  // kept to the end

    register_.assign(graph_.nodes.size(), -1);
    std::vector<int> free_tiles, free_rows;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!wanted[n]) continue;
      const int at = static_cast<int>(n);
      Operand out;
      if (is_all_reduction(node(at).op)) {
        out = {.place = Place::kGlobal, .index = global_[n]};
      } else if (node(at).op != NodeOp::kColumnSum) {
        const bool row = node(at).kind == Kind::kRow;
        std::vector<int>& free = row ? free_rows : free_tiles;
        int& count = row ? made_.program.rows : made_.program.tiles;
        if (free.empty()) free.push_back(count++);
        register_[n] = free.back();
        free.pop_back();
        out = operand(at);
      }
      if (node(at).op == NodeOp::kColumnSum) {
        for (size_t c = 0; c < column_outputs_.size(); ++c)
          if (column_outputs_[c] == at)
            emit(at, {.place = Place::kColumn, .index = static_cast<int>(c)}, phase.steps);
      } else {
        emit(at, out, phase.steps);
      }
      for (const int m : reads(at)) {
        if (--uses[static_cast<size_t>(m)] > 0 || register_[static_cast<size_t>(m)] < 0) continue;
        (node(m).kind == Kind::kRow ? free_rows : free_tiles)
            .push_back(register_[static_cast<size_t>(m)]);
      }
    }
    size_t place = 0;
    for (const int n : outputs_) {
      if (node(n).op == NodeOp::kColumnSum) continue;
      if (leaves_with(n, p)) made_.program.outputs[place].from = operand(n);
      ++place;
    }
    made_.program.phases.push_back(std::move(phase));
  }

  void emit(int n, Operand out, std::vector<Instruction>& steps) {
    const GraphNode& at = node(n);
    if (const auto found = chain(n)) {
      Operand factor = operand(found->b);
      if (found->divides) factor = reciprocal(found->b, steps);
      steps.push_back(
          {.op = RowOp::kScaleRound,
           .a = operand(found->a),
           .b = factor,
           .c = factor.place == Place::kRow && found->divides ? operand(found->b) : Operand{},
           .out = out,
           .low = found->low,
           .high = found->high});
      return;
    }
    Instruction step{.op = row_op(at.op),
                     .a = operand(at.a),
                     .b = operand(at.b),
                     .c = operand(at.c),
                     .out = out};
    if (at.op == NodeOp::kClampMin || at.op == NodeOp::kClampMax)
      step.b = {.place = Place::kConstant, .number = at.number};
    if (const auto inner = absolute(n)) {
      step.a = operand(*inner);
      if (at.op == NodeOp::kRowSum) step.op = RowOp::kRowAbsSum;
      if (at.op == NodeOp::kRowMaximum) step.op = RowOp::kRowAbsMaximum;
      step.low = 1.0f;
    }
    steps.push_back(step);
  }

  // 1 / b before the walk's inner loops: multiplying costs a tenth of dividing, and moves a code
  // only within 1e-5 of a rounding boundary.
  Operand reciprocal(int b, std::vector<Instruction>& steps) {
    const Operand from = operand(b);
    if (from.place == Place::kConstant)
      return {.place = Place::kConstant, .number = 1.0f / from.number};
    // A row register of its own; a scalar's reciprocal is made once a tile, which costs nothing.
    const Operand out{.place = Place::kRow, .index = made_.program.rows++};
    steps.push_back({.op = RowOp::kReciprocal, .a = from, .b = {}, .c = {}, .out = out});
    return out;
  }

  const bool divides_;
  Graph graph_;
  std::vector<int> outputs_;
  LoweredProgram made_;
  std::vector<Operand> input_places_;
  std::vector<int> phase_, global_, register_, column_outputs_;
  int globals_ = 0;
};

}  // namespace

LoweredProgram lower(const Graph& graph, std::span<const int> outputs, bool divides) {
  return Lowering(graph, outputs, divides).run();
}

}  // namespace bitloop::lua
