#include "trainer/model/regularizers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "lua/capture/differentiate.h"
#include "lua/tensor/backward_error.h"
#include "trainer/kernels/packing.h"
#include "trainer/kernels/spans.h"
#include "trainer/kernels/team.h"
#include "trainer/model/candidate.h"

namespace bitloop::trainer {
namespace {

// The same shapes without numbers.
at::Tensor shape_only(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kMeta).requires_grad(false));
}
NamedTensorMap shapes_only(const NamedTensorMap& tensors) {
  NamedTensorMap shapes;
  for (const auto& [name, tensor] : tensors) shapes[name] = shape_only(tensor);
  return shapes;
}

// Whether they do the same with the same tensors, but for numbers that stand in them; `numbers`:
// these, too.
bool same_graph(const lua::Graph& a, const lua::Graph& b, bool numbers) {
  const auto same_input = [](const lua::GraphInput& x, const lua::GraphInput& y) {
    // A matrix or column that the function made may be another one: such a graph is like no other.
    return x.source == y.source && x.name == y.name && x.kind == y.kind && !x.constant.defined() &&
           !y.constant.defined();
  };
  const auto same_node = [&](lua::GraphNode x, const lua::GraphNode& y) {
    if (!numbers && x.op == lua::NodeOp::kConstant) x.number = y.number;
    return x == y;
  };
  return a.rows == b.rows && a.columns == b.columns && a.result == b.result &&
         std::ranges::equal(a.nodes, b.nodes, same_node) &&
         std::ranges::equal(a.inputs, b.inputs, same_input);
}

std::map<std::string, std::vector<int64_t>> sizes_of(const NamedTensorMap& tensors) {
  std::map<std::string, std::vector<int64_t>> sizes;
  for (const auto& [name, tensor] : tensors) sizes[name] = tensor.sizes().vec();
  return sizes;
}

// Numbers like a layer's, of both signs, the same ones always.
at::Tensor some_numbers(const at::Tensor& like, double turn) {
  const at::Tensor i = at::arange(like.numel(), at::kFloat);
  return (at::sin(i * 0.7 + turn) * (0.02 + 0.01 * at::cos(i * 0.011))).view(like.sizes());
}

}  // namespace

Regularizers::Key Regularizers::key_of(const BitLinear& layer) const {
  return {reads_layer_ ? layer.layer.name : "", layer.latent.sizes().vec(), sizes_of(layer.params),
          sizes_of(layer.state)};
}

bool Regularizers::record(Program& program, BitLinear& layer, const ForwardContext& context) {
  const at::NoGradGuard no_grad;
  lua::Recording recording;
  const auto record_on = [&](const at::Tensor& w, const at::Tensor& value,
                             const NamedTensorMap& params, const NamedTensorMap& state) {
    recording = {};
    const auto called = context.quantizer->regularizer(
        w, value, script_context(layer, context, params, state), &recording);
    if (!called) recording.reason = called.error().message;
    program.reads_step |= recording.reads_step;
    return called && recording.graph;
  };
  program.step = context.step;
  program.reads_step = false;
  program.reason.clear();
  // LibTorch has a few operations that want numbers whatever they are.
  if (!record_on(shape_only(layer.latent), shape_only(layer.latent), shapes_only(layer.params),
                 shapes_only(layer.state))) {
    const bool made = record_on(layer.latent.detach(), layer.weight_operand.value.detach(),
                                layer.params, layer.state);
    // At every step that would cost more than autograd does.
    if (made && program.reads_step)
      program.reason = "it wants numbers to be recorded, and reads the step";
    else if (!made)
      program.reason = recording.reason;
    if (!program.reason.empty()) {
      program.graph = nullptr;
      return recording.reads_layer;
    }
  }
  const bool reads_layer = recording.reads_layer || recording.graph->reads_layer;
  const auto before = std::exchange(program.graph, recording.graph);
  if (before && same_graph(*before, *program.graph, /*numbers=*/true)) return reads_layer;
  program.compared = program.compared && before && same_graph(*before, *program.graph, false);
  auto gradient = lua::differentiate_number(*program.graph, program.graph->result);
  if (!gradient)
    program.reason = gradient.error().message;
  else if (gradient->argument < 0)
    program.reason = "no gradient reaches the weight";
  else
    for (const auto& parameter : gradient->parameters)
      if (parameter.node >= 0 || parameter.zero)
        program.reason = fmt::format("a gradient reaches the parameter {}", parameter.name);
  if (!program.reason.empty()) {
    program.graph = nullptr;
    return reads_layer;
  }
  const int outputs[] = {gradient->argument, program.graph->result};
  program.gradient = std::move(gradient->graph);
  program.lowered = lua::lower(program.gradient, outputs);
  return reads_layer;
}

Result<Regularizers::Program*> Regularizers::program_of(BitLinear& layer,
                                                        const ForwardContext& context) {
  const auto is_stale = [&](const Program& program) {
    return program.step < 0 || (program.reads_step && program.step != context.step);
  };
  Program* program = &programs_[key_of(layer)];
  if (is_stale(*program) && record(*program, layer, context) && !reads_layer_) {
    reads_layer_ = true;  // so no program is another layer's
    program = &programs_[key_of(layer)];
    record(*program, layer, context);
  }
  if (program->reason.empty() && !program->compared) {
    BITLOOP_ASSIGN(same, lua::catching_backward([&] { return agrees(*program, layer, context); }));
    program->compared = same;
    if (!same) {
      program->reason = "the captured program gave other numbers than the function";
      program->graph = nullptr;
    }
  }
  return program->reason.empty() ? program : nullptr;
}

double Regularizers::run(const Program& program, const BitLinear& layer, const at::Tensor& w_NK,
                         const at::Tensor& value_NK, const at::Tensor& gradient) {
  const ProgramInputs inputs(program.gradient, program.lowered,
                             {.argument = w_NK, .value = value_NK}, layer.params, layer.state);
  const int64_t columns = program.graph->columns;
  float* to = gradient.data_ptr<float>();
  double number = 0.0;
  kernels::run(program.lowered.program, inputs.rows(program.graph->rows, columns),
               [&](int64_t first, int64_t count, std::span<const float* const> outputs) {
                 if (outputs[0] != nullptr)
                   kernels::add_rows(outputs[0], 1, count * columns, to + first * columns);
                 if (outputs[1] != nullptr) number = *outputs[1];
               });
  return number;
}

Result<bool> Regularizers::agrees(const Program& program, BitLinear& layer,
                                  const ForwardContext& context) {
  const at::AutoGradMode grad(true);
  const at::Tensor value = some_numbers(layer.latent, 0.3);
  for (const double turn : {0.0, 2.0}) {
    const at::Tensor w = some_numbers(layer.latent, turn).requires_grad_(true);
    BITLOOP_ASSIGN(eager, context.quantizer->regularizer(w, value, script_context(layer, context)));
    if (!eager.requires_grad()) return false;
    const at::Tensor wanted =
        torch::autograd::grad({eager}, {w}, {}, false, false, /*allow_unused=*/true)[0];
    if (!wanted.defined()) return false;
    const at::Tensor made = at::zeros_like(w, at::MemoryFormat::Contiguous);
    const double number = run(program, layer, w.detach(), value, made), want = eager.item<double>(),
                 most = wanted.abs().max().item<double>();
    // Sums in float32 in another order, which may cancel: as far as the largest gradient makes of
    // a weight's size.
    if (!(std::abs(number - want) <= 1e-3 * std::abs(want) + 0.03 * most)) return false;
    // Elements may differ where one lies at a boundary; not many, and none by much.
    const at::Tensor apart = (made - wanted).abs();
    const double far = apart.gt(1e-3 * most + 1e-12).sum().item<double>();
    if (far > 1e-4 * static_cast<double>(wanted.count_nonzero().item<int64_t>()) ||
        apart.norm().item<double>() > 1e-2 * wanted.norm().item<double>())
      return false;
  }
  return true;
}

Status Regularizers::add_gradients(std::span<BitLinear* const> layers,
                                   const ForwardContext& context) {
  const kernels::Span span("weights", "regularizer");
  const lua::Format& format = context.quantizer->format();
  std::vector<std::pair<BitLinear*, Program*>> captured;
  at::Tensor eager;
  for (BitLinear* layer : layers) {
    Program* program = nullptr;
    if (context.captured && layer->weight.is_cpu() && format.hadamard_block == 0 &&
        layer->weight_operand.value.defined()) {
      BITLOOP_ASSIGN(found, program_of(*layer, context));
      program = found;
    }
    if (program == nullptr) {
      BITLOOP_ASSIGN(term, regularizer(*layer, context));
      eager = eager.defined() ? eager + term : term;
      continue;
    }
    at::Tensor& gradient = layer->weight.mutable_grad();
    gradient = gradient.defined() ? gradient.contiguous()
                                  : at::zeros_like(layer->weight, at::MemoryFormat::Contiguous);
    captured.emplace_back(layer, program);
  }
  std::vector<double> numbers(captured.size());
  kernels::run_items(std::ssize(captured), [&](int64_t item) {
    const at::NoGradGuard no_grad;
    const auto i = static_cast<size_t>(item);
    const auto& [layer, program] = captured[i];
    numbers[i] = run(*program, *layer, layer->weight, layer->weight_operand.value.detach(),
                     layer->weight.grad());
  });
  double sum = std::accumulate(numbers.begin(), numbers.end(), 0.0);
  if (eager.defined()) sum += eager.item<float>();
  if (!std::isfinite(static_cast<float>(sum)))
    return fail("diverged",
                fmt::format("the regularizer of step {} is not finite", context.step + 1));
  if (!eager.defined() || !eager.requires_grad()) return {};
  return lua::catching_backward([&]() -> Status {
    torch::autograd::backward({eager}, {});
    return {};
  });
}

std::string Regularizers::why_eager(const BitLinear& layer) const {
  const auto found = programs_.find(key_of(layer));
  return found == programs_.end() ? std::string() : found->second.reason;
}

}  // namespace bitloop::trainer
