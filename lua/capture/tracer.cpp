#include "lua/capture/tracer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace bitloop::lua {
namespace {

template <typename T, size_t N>
std::optional<T> look_up(const std::pair<std::string_view, T> (&table)[N], std::string_view name) {
  for (const auto& [key, value] : table)
    if (key == name) return value;
  return std::nullopt;
}

constexpr std::pair<std::string_view, NodeOp> kUnary[] = {
    {"neg", NodeOp::kNegate},
    {"abs", NodeOp::kAbs},
    {"sign", NodeOp::kSign},
    {"sgn", NodeOp::kSign},
    {"floor", NodeOp::kFloor},
    {"ceil", NodeOp::kCeil},
    {"trunc", NodeOp::kTruncate},
    {"square", NodeOp::kSquare},
    {"sqrt", NodeOp::kSqrt},
    {"rsqrt", NodeOp::kRsqrt},
    {"reciprocal", NodeOp::kReciprocal},
    {"exp", NodeOp::kExp},
    {"log", NodeOp::kLog},
    {"tanh", NodeOp::kTanh},
    {"sigmoid", NodeOp::kSigmoid},
    {"logical_not", NodeOp::kNot},
    {"detach", NodeOp::kDetach},
    {"ste_round", NodeOp::kSteRound},
};

constexpr std::pair<std::string_view, NodeOp> kBinary[] = {
    {"mul", NodeOp::kMultiply}, {"maximum", NodeOp::kMaximum}, {"minimum", NodeOp::kMinimum},
    {"lt", NodeOp::kLess},      {"le", NodeOp::kLessEqual},    {"eq", NodeOp::kEqual},
    {"ne", NodeOp::kNotEqual},
};

// All of them are kept until the recording ends.
constexpr size_t kMostTensors = 2000;

constexpr std::string_view kViews[] = {"reshape", "view",   "flatten",  "unsqueeze",
                                       "squeeze", "blocks", "unblocks", "contiguous",
                                       "clone",   "float",  "view_as",  "reshape_as"};

int64_t count_of(at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

// Whether `shape`, aligned at the right as broadcasting does, is `result` with 1 as its last size.
bool is_column_of_rows(at::IntArrayRef shape, at::IntArrayRef result) {
  if (shape.empty() || shape.back() != 1 || shape.size() > result.size()) return false;
  const size_t skipped = result.size() - shape.size();
  for (size_t d = 0; d < skipped; ++d)
    if (result[d] != 1) return false;
  for (size_t d = 0; d + 1 < shape.size(); ++d)
    if (shape[d] != result[skipped + d]) return false;
  return true;
}

// Whether `shape` is one row that is the same for all.
bool is_one_row(at::IntArrayRef shape, at::IntArrayRef result) {
  if (shape.empty() || result.empty() || shape.back() != result.back()) return false;
  return count_of(shape) == shape.back();
}

bool given(const TracedArgument& argument) { return argument.type != TracedArgument::kNone; }
bool is_number(const TracedArgument& argument, double number) {
  return argument.type == TracedArgument::kNumber && argument.number == number;
}

}  // namespace

Tracer::Tracer(const at::Tensor& argument)
    : total_(argument.numel()), argument_columns_(argument.dim() == 2 ? argument.size(1) : 0) {
  if (argument.dim() != 2 || argument.size(0) < 2 || argument.size(1) < 2)
    give_up("the tensor has fewer than two rows or columns");
  bind(argument,
       {.source = GraphInput::kArgument, .name = {}, .constant = {}, .kind = Kind::kFull});
}

void Tracer::bind(const at::Tensor& tensor, GraphInput input) {
  const int node = graph_.add(
      {.op = NodeOp::kInput, .kind = input.kind, .input = static_cast<int>(graph_.inputs.size())});
  graph_.inputs.push_back(std::move(input));
  note(tensor, node);
}

void Tracer::bind_value(const at::Tensor& value) {
  if (value.numel() != total_) give_up("two tensors of different sizes");
  bind(value, {.source = GraphInput::kValue, .name = {}, .constant = {}, .kind = Kind::kFull});
}

void Tracer::bind_parameters(const std::map<std::string, at::Tensor>& params) {
  for (const auto& [name, tensor] : params) bind_named(tensor, GraphInput::kParameter, name);
}

void Tracer::bind_state(const std::map<std::string, at::Tensor>& state) {
  for (const auto& [name, tensor] : state) bind_named(tensor, GraphInput::kState, name);
}

void Tracer::bind_named(const at::Tensor& tensor, GraphInput::Source source,
                        const std::string& name) {
  if (const auto kind = outside_kind(tensor))
    bind(tensor, {.source = source, .name = name, .constant = {}, .kind = *kind});
  else
    note(tensor, -1);
}

void Tracer::give_up(std::string reason) {
  if (reason_.empty()) reason_ = std::move(reason);
}

void Tracer::number_read(const at::Tensor& tensor, std::string_view how) {
  if (depends(tensor)) give_up(fmt::format("{} turns a tensor into a Lua number", how));
}

std::optional<Kind> Tracer::outside_kind(const at::Tensor& tensor) const {
  const int64_t rows = total_ / std::max<int64_t>(1, argument_columns_);
  if (tensor.numel() == 1) return Kind::kScalar;
  if (tensor.numel() == total_ && tensor.size(-1) == argument_columns_) return Kind::kFull;
  if (tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == 1) return Kind::kRow;
  if (tensor.numel() == argument_columns_ && tensor.size(-1) == argument_columns_)
    return Kind::kColumn;
  // One number a group: (N, groups) or (N, groups, 1).
  if (tensor.dim() >= 2 && tensor.numel() < total_ && total_ % tensor.numel() == 0 &&
      tensor.size(0) == rows)
    return Kind::kRow;
  return std::nullopt;
}

bool Tracer::set_length(int64_t length) {
  if (length_ == 0 && length > 1 && total_ % length == 0) length_ = length;
  return length_ == length;
}

std::optional<int> Tracer::node_of(const at::Tensor& tensor) {
  if (const auto found = traced_.find(key(tensor)); found != traced_.end())
    return found->second.node < 0 ? std::nullopt : std::optional(found->second.node);
  if (tensor.is_meta()) return std::nullopt;  // a shape without numbers
  if (tensor.numel() == 1) return graph_.constant(tensor.item<float>());
  const auto kind = outside_kind(tensor);
  if (!kind || *kind == Kind::kScalar) return std::nullopt;
  const at::Tensor kept = tensor.detach().to(at::kFloat).contiguous().clone();
  bind(tensor, {.source = GraphInput::kConstant, .name = {}, .constant = kept, .kind = *kind});
  return traced_.at(key(tensor)).node;
}

Tracer::Side Tracer::side(const TracedArgument& argument, at::IntArrayRef result) {
  if (argument.type == TracedArgument::kNumber || argument.type == TracedArgument::kBoolean)
    return {graph_.constant(static_cast<float>(argument.number)), Kind::kScalar};
  if (argument.type != TracedArgument::kTensor) return {};
  const std::optional<int> node = node_of(argument.tensor);
  if (!node) return {};
  const Kind kind = kind_of(*node);
  const at::IntArrayRef shape = argument.tensor.sizes();
  const bool full_result = count_of(result) == total_;
  bool fits = kind == Kind::kScalar;
  if (kind == Kind::kFull) fits = full_result;
  if (kind == Kind::kRow) {
    // Rows beside a full matrix need a last size of 1, and decide how long a row is.
    if (full_result)
      fits = is_column_of_rows(shape, result) && set_length(result.back());
    else
      fits = argument.tensor.numel() == count_of(result);
  }
  if (kind == Kind::kColumn)
    fits = full_result && is_one_row(shape, result) && set_length(result.back());
  return fits ? Side{*node, kind} : Side{};
}

int Tracer::unary(NodeOp op, int a, float number) {
  return graph_.add({.op = op, .kind = kind_of(a), .a = a, .number = number});
}

int Tracer::binary(NodeOp op, const Side& a, const Side& b) {
  Kind kind = std::max(a.kind, b.kind);
  return graph_.add({.op = op, .kind = kind, .a = a.node, .b = b.node});
}

bool Tracer::record_view(std::string_view name, const TracedArgument& argument,
                         const at::Tensor& result) {
  if (argument.type != TracedArgument::kTensor) return false;
  if (std::find(std::begin(kViews), std::end(kViews), name) == std::end(kViews)) return false;
  const auto found = traced_.find(key(argument.tensor));
  // The same numbers in the same order, nothing padded, nothing cut.
  if (found == traced_.end() || found->second.node < 0 || result.numel() != argument.tensor.numel())
    return false;
  if (name == "blocks" && !set_length(result.size(-1))) return false;
  if (kind_of(found->second.node) == Kind::kColumn) return false;
  const int node = found->second.node;
  note(result, node);
  return true;
}

bool Tracer::record_reduction(std::string_view name, std::span<const TracedArgument> arguments,
                              const at::Tensor& result) {
  static constexpr std::pair<std::string_view, std::pair<NodeOp, NodeOp>> kReductions[] = {
      {"sum", {NodeOp::kRowSum, NodeOp::kAllSum}},
      {"mean", {NodeOp::kRowSum, NodeOp::kAllSum}},
      {"amax", {NodeOp::kRowMaximum, NodeOp::kAllMaximum}},
      {"amin", {NodeOp::kRowMinimum, NodeOp::kAllMinimum}},
      {"max", {NodeOp::kRowMaximum, NodeOp::kAllMaximum}},
      {"min", {NodeOp::kRowMinimum, NodeOp::kAllMinimum}},
      {"norm", {NodeOp::kRowSum, NodeOp::kAllSum}},
      {"std", {NodeOp::kRowSum, NodeOp::kAllSum}},
      {"var", {NodeOp::kRowSum, NodeOp::kAllSum}},
  };
  const auto ops = look_up(kReductions, name);
  if (!ops || arguments[0].type != TracedArgument::kTensor) return false;
  const bool is_norm = name == "norm", is_spread = name == "std" || name == "var";
  const size_t dim_place = is_norm ? 2 : 1;
  if ((name == "max" || name == "min") && arguments[1].type != TracedArgument::kNone) return false;
  if (is_norm && given(arguments[1]) && !is_number(arguments[1], 2)) return false;
  double correction = 1.0;
  if (is_spread && given(arguments[2])) {
    if (arguments[2].type != TracedArgument::kNumber) return false;
    correction = arguments[2].number;
  }
  const at::Tensor& x = arguments[0].tensor;
  const std::optional<int> node = node_of(x);
  if (!node) return false;
  int from = *node;
  const Kind kind = kind_of(from);
  const bool all = x.numel() > 1 && result.numel() == 1;
  double count = 0.0;
  if (all) {
    if (kind != Kind::kFull && kind != Kind::kRow) return false;
    count = static_cast<double>(x.numel());
  } else {
    const TracedArgument& dim = arguments[dim_place];
    int64_t which = 0;
    if (dim.type == TracedArgument::kNumber)
      which = static_cast<int64_t>(dim.number);
    else if (dim.type == TracedArgument::kList && dim.list.size() == 1)
      which = dim.list[0];
    else
      return false;
    if (which < 0) which += x.dim();
    if (which != x.dim() - 1 || kind != Kind::kFull || !set_length(x.size(-1))) return false;
    count = static_cast<double>(x.size(-1));
  }
  const NodeOp op = all ? ops->second : ops->first;
  const Kind reduced = all ? Kind::kScalar : Kind::kRow;
  const auto reduce = [&](int a) { return graph_.add({.op = op, .kind = reduced, .a = a}); };
  const auto by = [&](NodeOp f, int a, double number) {
    const int constant = graph_.constant(static_cast<float>(number));
    return binary(f, {a, kind_of(a)}, {constant, Kind::kScalar});
  };
  int made;
  if (is_norm) {
    made = unary(NodeOp::kRoot, reduce(unary(NodeOp::kSquare, from)));
  } else if (is_spread) {
    // By the mean no gradient comes back: what it would carry sums up to 0.
    const int mean = unary(NodeOp::kDetach, by(NodeOp::kDivide, reduce(from), count));
    const int centred = binary(NodeOp::kSubtract, {from, kind}, {mean, reduced});
    made = by(NodeOp::kDivide, reduce(unary(NodeOp::kSquare, centred)), count - correction);
    if (name == "std") made = unary(NodeOp::kRoot, made);
  } else {
    made = reduce(from);
    if (name == "mean") made = by(NodeOp::kDivide, made, count);
  }
  note(result, made);
  return true;
}

bool Tracer::record_elementwise(std::string_view name, std::span<const TracedArgument> arguments,
                                const at::Tensor& result) {
  const at::IntArrayRef shape = result.sizes();
  const auto has = [&](size_t i) { return i < arguments.size() && given(arguments[i]); };
  const auto at_place = [&](size_t i) { return side(arguments[i], shape); };
  const auto finish = [&](int node) {
    note(result, node);
    return true;
  };
  const Side x = at_place(0);
  if (x.node < 0) return false;

  if (const auto op = look_up(kUnary, name)) return finish(unary(*op, x.node));
  if (name == "round" && (!has(1) || is_number(arguments[1], 0)))
    return finish(unary(NodeOp::kRound, x.node));
  if (name == "relu") {
    // Not a clamp: at 0 relu has no gradient.
    const int zero = graph_.constant(0.0f);
    const int off = binary(NodeOp::kLessEqual, x, {zero, Kind::kScalar});
    return finish(
        graph_.add({.op = NodeOp::kWhere, .kind = x.kind, .a = off, .b = zero, .c = x.node}));
  }
  if (name == "silu")
    return finish(binary(NodeOp::kMultiply, x, {unary(NodeOp::kSigmoid, x.node), x.kind}));
  if (name == "bool") {
    const int zero = graph_.constant(0.0f);
    return finish(binary(NodeOp::kNotEqual, x, {zero, Kind::kScalar}));
  }
  if (name == "clamp" || name == "clamp_min" || name == "clamp_max") {
    const size_t low = name == "clamp_max" ? 9 : 1, high = name == "clamp" ? 2 : low == 9 ? 1 : 9;
    // Beside a tensor a number is a bound like it: the gradient at a tie is shared with it.
    const auto is_tensor = [&](size_t i) {
      return has(i) && arguments[i].type != TracedArgument::kNumber;
    };
    const bool by_tensors = is_tensor(low) || is_tensor(high);
    Side made = x;
    for (const size_t i : {low, high}) {
      if (!has(i)) continue;
      const bool is_low = i == low;
      if (!by_tensors) {
        made.node = unary(is_low ? NodeOp::kClampMin : NodeOp::kClampMax, made.node,
                          static_cast<float>(arguments[i].number));
      } else {
        const Side bound = at_place(i);
        if (bound.node < 0) return false;
        made.node = binary(is_low ? NodeOp::kMaximum : NodeOp::kMinimum, made, bound);
      }
      made.kind = kind_of(made.node);
    }
    return finish(made.node);
  }

  if (!has(1)) return false;
  const Side y = at_place(1);
  if (y.node < 0) return false;
  if (const auto op = look_up(kBinary, name)) return finish(binary(*op, x, y));
  if (name == "gt") return finish(binary(NodeOp::kLess, y, x));
  if (name == "ge") return finish(binary(NodeOp::kLessEqual, y, x));
  if (name == "max" || name == "min")
    return finish(binary(name == "max" ? NodeOp::kMaximum : NodeOp::kMinimum, x, y));
  if (name == "add" || name == "sub") {
    Side scaled = y;
    if (has(2) && !is_number(arguments[2], 1)) {
      if (arguments[2].type != TracedArgument::kNumber) return false;
      const int alpha = graph_.constant(static_cast<float>(arguments[2].number));
      graph_.rounds_apart = true;
      scaled = {binary(NodeOp::kMultiply, y, {alpha, Kind::kScalar}), y.kind};
    }
    return finish(binary(name == "add" ? NodeOp::kAdd : NodeOp::kSubtract, x, scaled));
  }
  if (name == "div" && !has(2)) return finish(binary(NodeOp::kDivide, x, y));
  if (name == "pow" && arguments[1].type == TracedArgument::kNumber) {
    if (arguments[1].number == 2) return finish(unary(NodeOp::kSquare, x.node));
    if (arguments[1].number == 0.5) return finish(unary(NodeOp::kSqrt, x.node));
    return finish(binary(NodeOp::kPower, x, y));
  }
  if (name == "logical_and" || name == "logical_or") {
    const int zero = graph_.constant(0.0f);
    const auto holds = [&](const Side& s) {
      return Side{binary(NodeOp::kNotEqual, s, {zero, Kind::kScalar}), s.kind};
    };
    const NodeOp op = name == "logical_and" ? NodeOp::kMinimum : NodeOp::kMaximum;
    return finish(binary(op, holds(x), holds(y)));
  }
  if (name == "where" || name == "lerp") {
    const Side z = at_place(2);
    if (z.node < 0) return false;
    if (name == "lerp") {
      graph_.rounds_apart = true;
      const Side gap{binary(NodeOp::kSubtract, y, x), std::max(x.kind, y.kind)};
      const Side step{binary(NodeOp::kMultiply, z, gap), std::max(z.kind, gap.kind)};
      return finish(binary(NodeOp::kAdd, x, step));
    }
    const Kind kind = std::max({x.kind, y.kind, z.kind});
    return finish(
        graph_.add({.op = NodeOp::kWhere, .kind = kind, .a = x.node, .b = y.node, .c = z.node}));
  }
  return false;
}

void Tracer::record(std::string_view name, std::span<const TracedArgument> arguments,
                    std::span<const at::Tensor> results) {
  if (!reason_.empty()) return;
  if (traced_.size() > kMostTensors) return give_up("it makes too many tensors");
  const bool concerned =
      std::any_of(arguments.begin(), arguments.end(), [&](const TracedArgument& argument) {
        return argument.type == TracedArgument::kTensor && depends(argument.tensor);
      });
  if (!concerned) return;
  if (results.empty()) {
    constexpr std::string_view kStatic[] = {"size", "dim", "numel", "dtype", "shape"};
    if (std::find(std::begin(kStatic), std::end(kStatic), name) == std::end(kStatic))
      give_up(fmt::format("{} turns a tensor into a Lua value", name));
    graph_.reads_size = true;
    return;
  }
  // zeros_like(x) and its kin read a shape only.
  if (name.ends_with("_like")) return;
  const at::Tensor& result = results[0];
  // A view of the very tensor (contiguous, float of a float) is its own alias already.
  if (results.size() == 1 && depends(result)) {
    if (record_view(name, arguments[0], result)) return;
  }
  if (results.size() == 1 && result.numel() > 0 &&
      (record_view(name, arguments[0], result) || record_reduction(name, arguments, result) ||
       record_elementwise(name, arguments, result))) {
    // Kinds and shapes must tell the same story, or a later broadcast would be misread.
    const Kind kind = kind_of(traced_.at(key(result)).node);
    const bool same = (kind == Kind::kFull) == (result.numel() == total_) &&
                      (kind != Kind::kScalar || result.numel() == 1) && kind != Kind::kColumn;
    if (same) return;
  }
  give_up(fmt::format("{} on a tensor of shape ({}) is not captured", name,
                      arguments[0].type == TracedArgument::kTensor
                          ? fmt::format("{}", fmt::join(arguments[0].tensor.sizes(), ", "))
                          : std::string()));
}

void Tracer::finish() {
  graph_.columns = length_ == 0 ? argument_columns_ : length_;
  graph_.rows = graph_.columns == 0 ? 0 : total_ / graph_.columns;
  // A number for each row of the argument is none for each of its groups.
  for (const auto& [tensor, traced] : traced_)
    if (traced.node >= 0 && kind_of(traced.node) == Kind::kRow &&
        traced.keep.numel() != graph_.rows && used(traced.node))
      give_up("numbers for rows of two lengths");
}

bool Tracer::used(int node) const {
  return std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [&](const GraphNode& other) {
    return other.a == node || other.b == node || other.c == node;
  });
}

}  // namespace bitloop::lua
