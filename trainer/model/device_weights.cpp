#include "trainer/model/device_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "trainer/model/candidate.h"
#include "trainer/model/captured_inputs.h"
#include "trainer/model/quantize.h"

namespace bitloop::trainer {

struct DeviceWeights::Program {
  const BitLinear* layer;
  int64_t index;  // in programs_ and refused_
  std::unique_ptr<kernels::CompiledWeights> compiled;
  std::shared_ptr<const lua::Graph> graph;
  std::vector<int> columns, scalars;  // inputs of the graph
  int factor = 1;
  at::Tensor codes, scale;  // (N, K) int8, and float32 as the graph's scale
};

DeviceWeights::DeviceWeights(kernels::DeviceKernels& device) : device_(&device) {}
DeviceWeights::~DeviceWeights() = default;

DeviceWeights::Program* DeviceWeights::program_of(const BitLinear& layer) {
  const auto found = std::ranges::find_if(
      programs_, [&](const auto& program) { return program->layer == &layer; });
  return found == programs_.end() ? nullptr : found->get();
}

Status DeviceWeights::capture_layer(BitLinear& layer, lua::Quantizer& on_cpu,
                                    const ForwardContext& context) {
  const auto refuse = [&](const std::string& why) -> Status {
    if (reason_.empty())
      reason_ = fmt::format("weight_quant (layer {}): {}", layer.layer.name, why);
    return {};
  };
  const lua::Format& format = on_cpu.format();
  const PackedLevels levels = pack_levels(format);
  if (levels.factor == 0) return refuse("its levels are no multiples of one number");
  const NamedTensorMap params = on_cpu_of(layer.params), state = on_cpu_of(layer.state);
  Capture capture;
  const Status tried = try_capture(
      capture,
      [&](const at::Tensor& w, lua::Recording* recording) {
        return on_cpu.weight_quant(w, script_context(layer, context, params, state), recording);
      },
      layer.weight.detach().to(at::kCPU), params, state);
  if (!tried) return refuse(tried.error().message);
  if (capture.state != Capture::kCaptured) return refuse(capture.reason);
  const CapturedFunction& function = *capture.function;
  const lua::Graph& graph = function.graph();
  const int64_t scales = c10::multiply_integers(graph.scale_shape);
  if (function.has_surrogate()) return refuse("it has a surrogate");
  if (graph.offset >= 0) return refuse("it has an offset");
  if (scales != 1 && (scales != graph.rows || scales != layer.weight.size(0)))
    return refuse("it has scales of groups");
  if (!function.forward().row.empty()) return refuse("it reads a number for each row");
  if (function.forward().full.size() != 1) return refuse("it reads more than one matrix");
  if (std::ssize(function.forward().scalars) > kernels::kMostInputs)
    return refuse("it reads too many numbers");
  std::string why;
  auto compiled =
      device_->compile(kernels::WeightQuantizer{.program = function.forward().program,
                                                .rows = graph.rows,
                                                .columns = graph.columns,
                                                .levels = levels.levels,
                                                .integers = levels.integers,
                                                .half_scale = format.scale_dtype == at::kHalf},
                       why);
  if (compiled == nullptr) return refuse(why);
  const at::TensorOptions there = at::TensorOptions().device(layer.weight.device());
  programs_.push_back(std::make_unique<Program>(
      Program{.layer = &layer,
              .index = std::ssize(programs_),
              .compiled = std::move(compiled),
              .graph = std::make_shared<lua::Graph>(graph),
              .columns = function.forward().column,
              .scalars = function.forward().scalars,
              .factor = levels.factor,
              .codes = at::empty(layer.weight.sizes(), there.dtype(at::kChar)),
              .scale = at::empty({scales}, there.dtype(at::kFloat))}));
  return {};
}

Status DeviceWeights::capture(std::span<BitLinear* const> layers, lua::Quantizer& on_cpu,
                              const ForwardContext& context) {
  programs_.clear();
  reason_.clear();
  if (!on_cpu.format().quantizes_weights || layers.empty()) return {};
  for (BitLinear* layer : layers)
    if (layer->quantized) BITLOOP_TRY(capture_layer(*layer, on_cpu, context));
  refused_ = at::empty({std::ssize(programs_)},
                       at::TensorOptions(at::kInt).device(layers[0]->weight.device()));
  return {};
}

std::vector<Result<std::optional<Operand>>> DeviceWeights::pack(std::span<BitLinear* const> layers,
                                                                const ForwardContext&) {
  std::vector<Result<std::optional<Operand>>> packed(layers.size(), std::nullopt);
  if (programs_.empty()) return packed;
  refused_.zero_();
  for (BitLinear* layer : layers) {
    Program* program = layer != nullptr ? program_of(*layer) : nullptr;
    if (program == nullptr) continue;
    const BoundInputs inputs(*program->graph, program->columns, program->scalars, *layer);
    device_->quantize_weights(*program->compiled, layer->latent.const_data_ptr<float>(),
                              inputs.arguments(), program->codes.data_ptr<int8_t>(),
                              program->scale.data_ptr<float>(),
                              refused_.data_ptr<int32_t>() + program->index);
  }
  const at::Tensor refused = refused_.cpu();
  for (size_t i = 0; i < layers.size(); ++i) {
    Program* program = layers[i] != nullptr ? program_of(*layers[i]) : nullptr;
    // What is not allowed the usual way says.
    if (program == nullptr || refused.data_ptr<int32_t>()[program->index] != 0) continue;
    Operand operand;
    operand.codes_int8 = program->codes;
    operand.scale =
        program->scale.numel() == 1 ? program->scale.reshape({}) : program->scale.view({-1, 1});
    operand.stored_numbers = program->scale.numel();
    operand.factor = program->factor;
    operand.int8_scale = program->factor > 1 ? program->scale / program->factor : program->scale;
    packed[i] = std::move(operand);
  }
  return packed;
}

}  // namespace bitloop::trainer
