#include "trainer/model/capture.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "lua/capture/differentiate.h"

namespace bitloop::trainer {
namespace {

using lua::Graph;
using lua::Kind;

// Where the tiles of one output gather.
struct Gathered {
  at::Tensor tensor;
  kernels::Output::Shape shape;
  int64_t columns;

  void take(int64_t first, int64_t count, const float* from) const {
    float* to = tensor.data_ptr<float>();
    if (shape == kernels::Output::kFullShape)
      std::copy_n(from, count * columns, to + first * columns);
    else if (shape == kernels::Output::kRowShape)
      std::copy_n(from, count, to + first);
    else
      *to = *from;
  }
};

std::vector<Gathered> gather_places(const kernels::RowProgram& program, int64_t rows,
                                    int64_t columns, bool first) {
  std::vector<Gathered> places;
  for (const kernels::Output& output : program.outputs) {
    if (places.empty() && !first) {
      places.push_back({{}, output.shape, columns});
      continue;
    }
    const bool full = output.shape == kernels::Output::kFullShape;
    const int64_t count = full                                         ? rows * columns
                          : output.shape == kernels::Output::kRowShape ? rows
                                                                       : 1;
    places.push_back({at::empty({count}, at::kFloat), output.shape, columns});
  }
  return places;
}

// With `sink` the first output goes there, and nothing is gathered of it.
std::vector<Gathered> run_gathering(const kernels::RowProgram& program,
                                    const kernels::RowInputs& inputs, std::span<float> columns,
                                    const CapturedFunction::CodeSink& sink = {}) {
  std::vector<Gathered> places = gather_places(program, inputs.rows, inputs.columns, !sink);
  kernels::run(
      program, inputs,
      [&](int64_t first, int64_t count, std::span<const float* const> outputs) {
        for (size_t o = 0; o < places.size(); ++o) {
          if (outputs[o] == nullptr) continue;
          if (o == 0 && sink)
            sink(first, count, outputs[o]);
          else
            places[o].take(first, count, outputs[o]);
        }
      },
      columns);
  return places;
}

}  // namespace

Result<CapturedFunction> CapturedFunction::make(std::shared_ptr<const Graph> graph) {
  CapturedFunction made;
  std::vector<int> outputs = {graph->codes, graph->scale};
  if (graph->offset >= 0) outputs.push_back(graph->offset);
  made.forward_ = lua::lower(*graph, outputs);
  if (graph->surrogate >= 0) {
    BITLOOP_ASSIGN(differentiated, lua::differentiate(*graph, graph->surrogate));
    Gradient gradient;
    std::vector<int> nodes;
    if (differentiated.argument >= 0) {
      nodes.push_back(differentiated.argument);
      gradient.params.emplace_back();
    }
    if (differentiated.argument_zero) gradient.zeros.emplace_back();
    for (const auto& [name, node, zero] : differentiated.parameters) {
      if (zero) gradient.zeros.push_back(name);
      if (node < 0) continue;
      nodes.push_back(node);
      const bool column =
          differentiated.graph.nodes[static_cast<size_t>(node)].op == lua::NodeOp::kColumnSum;
      (column ? gradient.columns : gradient.params).push_back(name);
      if (!column && differentiated.graph.nodes[static_cast<size_t>(node)].kind == Kind::kColumn)
        return fail("not_captured", "a gradient for each column is a sum of several");
    }
    gradient.graph = std::move(differentiated.graph);
    if (nodes.empty()) return fail("not_captured", "no gradient leaves the surrogate");
    gradient.program = lua::lower(gradient.graph, nodes);
    made.gradient_ = std::move(gradient);
  }
  made.graph_ = std::move(graph);
  return made;
}

namespace {

// One rounding, the same one everywhere, and no sum whose order could be another.
bool is_exact(kernels::RowOp op) {
  using enum kernels::RowOp;
  switch (op) {
    case kRsqrt:
    case kExp:
    case kLog:
    case kTanh:
    case kSigmoid:
    case kPower:
    case kRowSum:
    case kRowAbsSum:
    case kAllSum:
    case kColumnSum:
      return false;
    default:
      return true;
  }
}

}  // namespace

std::optional<CapturedFunction> CapturedFunction::make_exact(std::shared_ptr<const Graph> graph) {
  CapturedFunction made;
  std::vector<int> outputs = {graph->codes, graph->scale};
  if (graph->offset >= 0) outputs.push_back(graph->offset);
  made.forward_ = lua::lower(*graph, outputs, /*divides=*/true);
  made.graph_ = std::move(graph);
  const auto exact = [](const std::vector<kernels::Instruction>& steps) {
    return std::ranges::all_of(steps, [](const auto& step) { return is_exact(step.op); });
  };
  bool all = made.streams() && made.forward_.row.empty() && exact(made.forward_.program.finally);
  for (const kernels::Phase& phase : made.forward_.program.phases)
    all = all && exact(phase.scalars) && exact(phase.steps);
  if (!all) return std::nullopt;
  return made;
}

lua::Quantized CapturedFunction::operator()(const at::Tensor& x_RK, const NamedTensorMap& params,
                                            const NamedTensorMap& state) const {
  return pass_codes(x_RK, {}, params, state);
}

lua::Quantized CapturedFunction::pass_codes(const at::Tensor& x_RK, const CodeSink& sink,
                                            const NamedTensorMap& params,
                                            const NamedTensorMap& state) const {
  const ProgramInputs bound(*graph_, forward_, {.argument = x_RK}, params, state);
  const auto made =
      run_gathering(forward_.program, bound.rows(graph_->rows, graph_->columns), {}, sink);
  lua::Quantized result;
  if (!sink) result.codes = made[0].tensor.view(x_RK.sizes());
  result.scale = made[1].tensor.view(graph_->scale_shape);
  if (graph_->offset >= 0) result.offset = made[2].tensor.view(graph_->offset_shape);
  return result;
}

bool CapturedFunction::streams() const {
  const auto& outputs = forward_.program.outputs;
  return forward_.program.phases.size() == 1 && outputs.size() == 2 &&
         graph_->scale_shape.size() == (outputs[1].shape == kernels::Output::kRowShape ? 2 : 0) &&
         (graph_->scale_shape.empty() || graph_->scale_shape[1] == 1) && forward_.full.size() == 1;
}

bool CapturedFunction::makes_whole_codes(float low, float high) const {
  const kernels::Operand& codes = forward_.program.outputs[0].from;
  if (codes.place != kernels::Place::kTile) return false;
  // Registers are another phase's from phase to phase.
  const auto& steps =
      forward_.program.phases[static_cast<size_t>(forward_.program.outputs[0].phase)].steps;
  const auto last = std::find_if(steps.rbegin(), steps.rend(), [&](const auto& step) {
    return step.out.place == kernels::Place::kTile && step.out.index == codes.index;
  });
  return last != steps.rend() && last->op == kernels::RowOp::kScaleRound && last->low >= low &&
         last->high <= high && std::rint(last->low) == last->low &&
         std::rint(last->high) == last->high;
}

at::Tensor CapturedFunction::stream(int64_t rows, int64_t columns, const Source& source,
                                    const RowSink& sink, const NamedTensorMap& params,
                                    const NamedTensorMap& state) const {
  const ProgramInputs bound(*graph_, forward_, {.argument = {}}, params, state);
  kernels::RowInputs inputs = bound.rows(rows, columns);
  inputs.source = source;
  const bool by_row = scales_rows();
  const at::Tensor scale = at::empty({by_row ? rows : 1}, at::kFloat);
  float* scales = scale.data_ptr<float>();
  kernels::run(forward_.program, inputs,
               [&](int64_t first, int64_t count, std::span<const float* const> outputs) {
                 if (outputs[0] != nullptr)
                   sink(first, count, outputs[0], by_row ? outputs[1] : nullptr);
                 if (outputs[1] != nullptr)
                   std::copy_n(outputs[1], by_row ? count : 1, by_row ? scales + first : scales);
               });
  return scale;
}

SurrogateGradient CapturedFunction::backward(const at::Tensor& x_RK, const at::Tensor& gradient_RK,
                                             const NamedTensorMap& params,
                                             const NamedTensorMap& state, bool in_place) const {
  const Gradient& g = *gradient_;
  // A tile is read before it is written, and never again.
  const bool over = in_place && !g.params.empty() && g.params[0].empty() &&
                    g.program.program.phases.size() == 1 && gradient_RK.is_contiguous();
  CodeSink sink;
  if (over)
    sink = [to = gradient_RK.data_ptr<float>(), columns = g.graph.columns](
               int64_t first, int64_t count, const float* from) {
      std::copy_n(from, count * columns, to + first * columns);
    };
  const ProgramInputs bound(g.graph, g.program, {.argument = x_RK, .gradient = gradient_RK}, params,
                            state);
  const int64_t columns = g.graph.columns;
  const at::Tensor sums = at::zeros({static_cast<int64_t>(g.columns.size()), columns}, at::kFloat);
  const auto made =
      run_gathering(g.program.program, bound.rows(g.graph.rows, columns),
                    {sums.data_ptr<float>(), static_cast<size_t>(sums.numel())}, sink);
  SurrogateGradient result;
  for (size_t i = 0; i < g.params.size(); ++i) {
    if (g.params[i].empty())
      result.argument = over ? gradient_RK : made[i].tensor.view(x_RK.sizes());
    else
      result.params[g.params[i]] = made[i].tensor.view(params.at(g.params[i]).sizes());
  }
  for (size_t i = 0; i < g.columns.size(); ++i)
    result.params[g.columns[i]] =
        sums[static_cast<int64_t>(i)].view(params.at(g.columns[i]).sizes());
  for (const std::string& name : g.zeros) {
    if (name.empty())
      result.argument = at::zeros_like(x_RK);
    else
      result.params[name] = at::zeros_like(params.at(name));
  }
  return result;
}

namespace {

// Codes may differ where a number lies within 1e-5 of a rounding boundary, which is rare; scales by
// the order of their sums.
bool agree(const lua::Quantized& eager, const lua::Quantized& captured) {
  const at::Tensor gap = (eager.codes - captured.codes).abs();
  // Not "greater": what is no number on one side only is a difference too.
  const at::Tensor same =
      gap.le(1e-4).logical_or(eager.codes.isnan().logical_and(captured.codes.isnan()));
  const double off = same.logical_not().sum().item<double>();
  if (off > 2.0 + 1e-4 * static_cast<double>(gap.numel())) return false;
  const auto close = [](const at::Tensor& a, const at::Tensor& b) {
    if (a.defined() != b.defined()) return false;
    return !a.defined() || at::allclose(a.detach(), b, 1e-5, 1e-8, /*equal_nan=*/true);
  };
  return close(eager.scale, captured.scale) && close(eager.offset, captured.offset);
}

// Elements may differ where a number lies at a boundary, as codes may; sums of them hardly do.
bool close_gradients(const at::Tensor& eager, const at::Tensor& captured, bool elements) {
  if (!eager.defined()) return !captured.defined() || captured.abs().max().item<float>() == 0.0f;
  if (!captured.defined()) return eager.abs().max().item<float>() == 0.0f;
  const double size = eager.abs().max().item<double>();
  const at::Tensor far = (eager - captured).abs().le(1e-3 * size + 1e-12).logical_not();
  const double allowed = elements ? 2.0 + 1e-4 * static_cast<double>(eager.numel()) : 0.0;
  return far.sum().item<double>() <= allowed;
}

// The surrogate's gradients by autograd and by the program, for one g.
Result<bool> gradients_agree(const CapturedFunction& captured, const QuantizingFunction& function,
                             const at::Tensor& x_RK, const NamedTensorMap& params,
                             const NamedTensorMap& state) {
  at::AutoGradMode grad(true);
  const at::Tensor x = x_RK.detach().clone().requires_grad_(true);
  const at::Tensor g = at::sin(at::arange(x.numel(), at::kFloat).view(x.sizes()) * 0.7);
  BITLOOP_ASSIGN(returned, function(x, nullptr));
  std::vector<at::Tensor> wanted = {x};
  for (const auto& [name, tensor] : params) wanted.push_back(tensor);
  const auto eager = torch::autograd::grad({returned.surrogate}, wanted, {g}, false, false,
                                           /*allow_unused=*/true);
  const SurrogateGradient made = captured.backward(x.detach(), g, params, state);
  if (!close_gradients(eager[0], made.argument, true)) return false;
  size_t i = 1;
  for (const auto& [name, tensor] : params) {
    const auto found = made.params.find(name);
    if (!close_gradients(eager[i++], found == made.params.end() ? at::Tensor() : found->second,
                         false))
      return false;
  }
  return true;
}

}  // namespace

Status try_capture(Capture& capture, const QuantizingFunction& function, const at::Tensor& x_RK,
                   const NamedTensorMap& params, const NamedTensorMap& state) {
  capture = {.state = Capture::kEager, .reason = {}, .shape = x_RK.sizes().vec(), .function = {}};
  at::NoGradGuard no_grad;
  lua::Recording recording;
  BITLOOP_ASSIGN(eager, function(x_RK.detach(), &recording));
  if (!recording.graph) {
    capture.reason = recording.reason;
    return {};
  }
  if (recording.graph->reads_step) {
    capture.reason = "reads ctx.step or ctx.progress";
    return {};
  }
  auto made = CapturedFunction::make(recording.graph);
  if (!made) {
    capture.reason = made.error().message;
    return {};
  }
  const at::Tensor other = (x_RK.detach().flip(0) * 1.37 + 0.003).contiguous();
  BITLOOP_ASSIGN(eager_other, function(other, nullptr));
  if (!agree(eager, (*made)(x_RK, params, state)) ||
      !agree(eager_other, (*made)(other, params, state))) {
    capture.reason = "the captured program gave other numbers than the function";
    return {};
  }
  if (made->has_surrogate()) {
    BITLOOP_ASSIGN(same, gradients_agree(*made, function, x_RK, params, state));
    if (!same) {
      capture.reason = "the captured gradient gave other numbers than autograd";
      return {};
    }
  }
  capture.state = Capture::kCaptured;
  capture.function = std::move(*made);
  return {};
}

Status capture_once(Capture& capture, const QuantizingFunction& function, const at::Tensor& x_RK,
                    const NamedTensorMap& params, const NamedTensorMap& state) {
  if (capture.state != Capture::kUntried && at::IntArrayRef(capture.shape) == x_RK.sizes())
    return {};
  return try_capture(capture, function, x_RK, params, state);
}

namespace {

// Of one row by itself: codes and scale.
Result<bool> same_bits(const CapturedFunction& made, const QuantizingFunction& function,
                       const at::Tensor& row_1K, const NamedTensorMap& params,
                       const NamedTensorMap& state) {
  BITLOOP_ASSIGN(wanted, function(row_1K, nullptr));
  const int64_t K = row_1K.size(1);
  const at::Tensor codes = at::empty_like(row_1K);
  const at::Tensor scale = made.stream(
      1, K,
      [&](int64_t, int64_t, float* to) { std::copy_n(row_1K.const_data_ptr<float>(), K, to); },
      [&](int64_t, int64_t, const float* from, const float*) {
        std::copy_n(from, K, codes.data_ptr<float>());
      },
      params, state);
  return wanted.scale.numel() == 1 && wanted.codes.sizes() == codes.sizes() &&
         at::equal(wanted.codes, codes) && at::equal(wanted.scale.reshape({1}), scale);
}

}  // namespace

Result<std::optional<CapturedFunction>> capture_exactly(const QuantizingFunction& function,
                                                        const at::Tensor& x_RK,
                                                        const NamedTensorMap& params,
                                                        const NamedTensorMap& state) {
  const at::NoGradGuard no_grad;
  std::optional<CapturedFunction> made;
  lua::Recording recording;
  BITLOOP_ASSIGN(eager, function(x_RK, &recording));
  const int64_t K = x_RK.size(1);
  const auto& graph = recording.graph;
  if (!graph || graph->reads_step || graph->reads_size || graph->rounds_apart ||
      graph->columns != K)
    return made;
  made = CapturedFunction::make_exact(graph);
  for (int64_t r = 0; made && r < x_RK.size(0); ++r) {
    BITLOOP_ASSIGN(same,
                   same_bits(*made, function, x_RK.narrow(0, r, 1).contiguous(), params, state));
    if (!same) made.reset();
  }
  return made;
}

}  // namespace bitloop::trainer
