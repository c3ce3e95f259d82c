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

bool same_graph(const lua::Graph& a, const lua::Graph& b) {
  const auto same_input = [](const lua::GraphInput& x, const lua::GraphInput& y) {
    // Constants are matrices or columns made by the function: rare, and not compared.
    return x.source == y.source && x.name == y.name && x.kind == y.kind && !x.constant.defined() &&
           !y.constant.defined();
  };
  return a.rows == b.rows && a.columns == b.columns && a.result == b.result && a.nodes == b.nodes &&
         std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(), same_input);
}

bool near(double a, double b, double tolerance) {
  return a == b || std::abs(a - b) <= tolerance * std::max(std::abs(a), std::abs(b));
}

}  // namespace

std::string Regularizers::key_of(const BitLinear& layer) const {
  if (reads_layer_) return layer.layer.name;
  std::string key = fmt::format("{}", fmt::join(layer.latent.sizes(), "x"));
  for (const NamedTensorMap* tensors : {&layer.params, &layer.state})
    for (const auto& [name, tensor] : *tensors)
      key += fmt::format(" {} {}", name, fmt::join(tensor.sizes(), "x"));
  return key;
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
    return called && recording.graph;
  };
  program.step = context.step;
  // LibTorch has a few operations that want numbers whatever they are.
  if (!record_on(shape_only(layer.latent), shape_only(layer.latent), shapes_only(layer.params),
                 shapes_only(layer.state)) &&
      !record_on(layer.latent.detach(), layer.weight_operand.value.detach(), layer.params,
                 layer.state)) {
    program.reason = recording.reason;
    return false;
  }
  const bool reads_layer = recording.graph->reads_layer;
  if (program.graph && same_graph(*program.graph, *recording.graph)) return reads_layer;
  program.graph = recording.graph;
  auto gradient = lua::differentiate_number(*recording.graph, recording.graph->result);
  if (!gradient)
    program.reason = gradient.error().message;
  else if (gradient->argument < 0)
    program.reason = "no gradient reaches the weight";
  else
    for (const auto& parameter : gradient->parameters)
      if (parameter.node >= 0 || parameter.zero)
        program.reason = fmt::format("a gradient reaches the parameter {}", parameter.name);
  if (!program.reason.empty()) return reads_layer;
  const int outputs[] = {gradient->argument, recording.graph->result};
  program.gradient = std::move(gradient->graph);
  program.lowered = lua::lower(program.gradient, outputs);
  return reads_layer;
}

Result<Regularizers::Program*> Regularizers::program_of(BitLinear& layer,
                                                        const ForwardContext& context) {
  const auto is_stale = [&](const Program& program) {
    return program.reason.empty() &&
           (program.step < 0 || (program.graph->reads_step && program.step != context.step));
  };
  Program* program = &programs_[key_of(layer)];
  if (is_stale(*program) && record(*program, layer, context) && !reads_layer_) {
    reads_layer_ = true;  // so no program is another layer's
    program = &programs_[key_of(layer)];
    record(*program, layer, context);
  }
  if (program->reason.empty() && !program->compared) {
    BITLOOP_ASSIGN(same, agrees(*program, layer, context));
    program->compared = true;
    if (!same) program->reason = "the captured program gave other numbers than the function";
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
  const at::Tensor value = layer.weight_operand.value.detach();
  const at::Tensor flipped = layer.latent.detach().flip(0) * 1.37 + 0.003;
  for (const at::Tensor& numbers : {layer.latent.detach(), flipped}) {
    const at::Tensor w = numbers.clone().requires_grad_(true);
    BITLOOP_ASSIGN(eager, context.quantizer->regularizer(w, value, script_context(layer, context)));
    if (!eager.requires_grad()) return false;
    const at::Tensor wanted =
        torch::autograd::grad({eager}, {w}, {}, false, false, /*allow_unused=*/true)[0];
    if (!wanted.defined()) return false;
    const at::Tensor made = at::zeros_like(numbers, at::MemoryFormat::Contiguous);
    const double number = run(program, layer, numbers, value, made);
    // Sums in float32 in another order; elements may differ where one lies at a boundary.
    if (!near(number, eager.item<double>(), 1e-4)) return false;
    const double far = (made - wanted)
                           .abs()
                           .le(1e-3 * wanted.abs().max().item<double>() + 1e-12)
                           .logical_not()
                           .sum()
                           .item<double>();
    if (far > 2.0 + 1e-4 * static_cast<double>(wanted.numel())) return false;
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
