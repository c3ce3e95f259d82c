#include "trainer/shell/report.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "lua/tensor/hadamard.h"
#include "trainer/audit/bits.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/candidate.h"
#include "trainer/shell/show.h"

namespace bitloop::trainer::shell {
namespace {

constexpr size_t kMaxCodeBars = 32;  // more levels than these are shown in intervals
constexpr int64_t kBins = 16;

// A layer of its own with this weight, as Q.init leaves it.
Result<BitLinear> make_layer(lua::Quantizer& quantizer, const at::Tensor& w_NK) {
  BitLinear layer;
  layer.layer = {.name = "shell",
                 .index = 0,
                 .count = 1,
                 .kind = "mlp_fc",
                 .in_features = w_NK.size(1),
                 .out_features = w_NK.size(0)};
  layer.weight = w_NK.detach().to(at::kFloat).clone(at::MemoryFormat::Contiguous);
  if (!quantizer.has("init")) return layer;
  BITLOOP_ASSIGN(made, quantizer.init(layer.layer, layer.weight));
  for (auto& [name, param] : made.params) layer.params[name] = param.value;
  layer.state = std::move(made.state);
  if (!made.weight.defined()) return layer;
  if (made.weight.sizes() != layer.weight.sizes())
    return fail("script_error", "init: weight has another shape than the layer's");
  layer.weight = made.weight;
  return layer;
}

// As a score calls it: after the last step of a training of `tiny`'s length.
ForwardContext scoring(lua::Quantizer& quantizer) {
  ForwardContext context;
  context.quantizer = &quantizer;
  context.step = context.total_steps = 3000;
  return context;
}

double length_of(const at::Tensor& tensor) { return tensor.to(at::kDouble).norm().item<double>(); }

void measure(Report& report) {
  const double size = length_of(report.input);
  const double difference =
      length_of(report.input.to(at::kDouble) - report.operand.value.to(at::kDouble));
  report.error = difference == 0 ? 0 : difference / size;
  report.mse = report.input.numel() == 0
                   ? 0
                   : difference * difference / static_cast<double>(report.input.numel());
  report.snr_db = -20 * std::log10(report.error);
  if (report.operand.codes.defined() && !report.entries && report.input.numel() > 0)
    report.zero_share = report.operand.codes.eq(0).to(at::kDouble).mean().item<double>();
}

std::string title_of(const lua::Format& format, const char* side, const at::Tensor& tensor) {
  return fmt::format("{}: {} {}", format.name, side, show_shape(tensor.sizes()));
}

// "one, 0.01597" or "(256, 1), 0.0147 … 0.0169, mean 0.0160".
std::string describe_numbers(const at::Tensor& numbers) {
  if (numbers.numel() == 1) return "one, " + show_number(numbers.item<double>());
  return fmt::format("{}, {} … {}, mean {}", show_shape(numbers.sizes()),
                     show_number(numbers.min().item<double>()),
                     show_number(numbers.max().item<double>()),
                     show_number(numbers.mean().item<double>()));
}

std::string code_bars(const Report& report) {
  const at::Tensor codes = report.operand.codes.flatten();
  const auto [values, inverse, counts] = at::_unique2(codes, true, false, true);
  if (static_cast<size_t>(values.numel()) > kMaxCodeBars) return show_histogram(codes, kBins, "  ");
  std::vector<Bar> bars;
  for (int64_t i = 0; i < values.numel(); ++i)
    bars.push_back({show_number(values[i].item<double>()),
                    counts[i].item<double>() / static_cast<double>(codes.numel())});
  return show_bars(bars, "  ");
}

}  // namespace

Result<Report> measure_weight(lua::Quantizer& quantizer, const at::Tensor& w_NK) {
  BITLOOP_ASSIGN(layer, make_layer(quantizer, w_NK));
  BITLOOP_TRY(quantize_weight(layer, scoring(quantizer)));
  Report report;
  report.title = title_of(quantizer.format(), "weight", w_NK);
  report.input = layer.latent;
  report.operand = layer.weight_operand;
  report.row_bias = layer.row_bias;
  BitLinear* const layers[] = {&layer};
  report.bits = bits_per_weight(layers, &quantizer);
  if (quantizer.format().codebook_entries > 0) report.entries = quantizer.format().codebook_entries;
  measure(report);
  return report;
}

Result<Report> measure_activation(lua::Quantizer& quantizer, const at::Tensor& x_RK,
                                  const at::Tensor& w_NK) {
  const lua::Format& format = quantizer.format();
  const ForwardContext context = scoring(quantizer);
  BITLOOP_ASSIGN(layer, make_layer(quantizer, w_NK));
  BITLOOP_ASSIGN(x, call_input(layer, x_RK.detach().to(at::kFloat).contiguous(), context));
  if (format.hadamard_block > 0) {
    if (x.size(1) % format.hadamard_block != 0)
      return fail("script_error", fmt::format("transform: block {} does not divide the {} inputs",
                                              format.hadamard_block, x.size(1)));
    x = lua::block_hadamard(x, format.hadamard_block);
  }
  BITLOOP_ASSIGN(activation, quantize_activation(layer, x, context, false));
  Report report;
  report.title = title_of(format, "activation", x_RK);
  report.weight = false;
  report.input = x;
  report.operand = std::move(activation.operand);
  if (format.quantizes_activations) report.bits = format.activation_bits;
  measure(report);
  return report;
}

Result<Report> measure_returned(const lua::Quantized& returned, const lua::Format& format,
                                const at::Tensor& w_NK) {
  const at::Tensor w = w_NK.detach().to(at::kFloat).contiguous();
  BITLOOP_ASSIGN(operand, make_weight_operand(returned, w, format, "shell"));
  Report report;
  report.title = title_of(format, "weight", w);
  report.input = w;
  const double choices = format.codebook_entries > 0 ? static_cast<double>(format.codebook_entries)
                                                     : static_cast<double>(format.levels.size());
  const double width = format.scale_dtype == at::kHalf ? 16 : 32;
  report.bits = std::log2(choices) + static_cast<double>(operand.stored_numbers) * width /
                                         static_cast<double>(w.numel());
  if (format.codebook_entries > 0) report.entries = format.codebook_entries;
  report.operand = std::move(operand);
  measure(report);
  return report;
}

std::string report_text(const Report& report) {
  const Operand& operand = report.operand;
  std::string text = report.title + "\n";
  const auto line = [&](const char* name, const std::string& value) {
    text += fmt::format("  {:<16} {}\n", name, value);
  };
  line(report.weight ? "bits per weight" : "bits per code", fmt::format("{:.4f}", report.bits));
  if (!operand.codes.defined()) {
    text += "  stays float: the quantizer has no function for it\n";
    return text;
  }
  line("error", fmt::format("{} of the norm, MSE {}, SNR {:.2f} dB", show_number(report.error),
                            show_number(report.mse), report.snr_db));
  if (operand.scale.defined()) line("scale", describe_numbers(operand.scale));
  if (operand.offset.defined()) line("offset", describe_numbers(operand.offset));
  if (operand.codebook.defined()) line("codebook", describe_numbers(operand.codebook));
  if (report.row_bias.defined()) line("row bias", describe_numbers(report.row_bias));
  if (report.zero_share) line("zeros", fmt::format("{:.2f}%", 100 * *report.zero_share));
  text += report.entries ? "  codes (places in the codebook)\n" : "  codes\n";
  text += code_bars(report);
  text += "  input\n" + show_histogram(report.input, kBins, "  ");
  text.pop_back();
  return text;
}

}  // namespace bitloop::trainer::shell
