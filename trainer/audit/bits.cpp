#include "trainer/audit/bits.h"

#include <cmath>

namespace bitloop::trainer {

double bits_per_weight(Transformer& model, const lua::Quantizer* quantizer) {
  return bits_per_weight(std::span<BitLinear* const>(model.bitlinears()), quantizer);
}

double bits_per_weight(std::span<BitLinear* const> layers, const lua::Quantizer* quantizer) {
  const bool quantized = quantizer != nullptr && quantizer->format().quantizes_weights;
  if (!quantized) return 32.0;
  const lua::Format& format = quantizer->format();
  const double choices = format.codebook_entries > 0 ? static_cast<double>(format.codebook_entries)
                                                     : static_cast<double>(format.levels.size());
  const double stored_width = format.scale_dtype == at::kHalf ? 16.0 : 32.0;
  double bits = 0.0, weights = 0.0;
  for (const BitLinear* layer : layers) {
    const auto count = static_cast<double>(layer->weight.numel());
    weights += count;
    bits += count * std::log2(choices);
    bits += static_cast<double>(layer->weight_operand.stored_numbers) * stored_width;
    // With a codebook it is the weights' alone, and in their codes and codebooks already.
    for (const auto& [name, tensor] : layer->state)
      if (format.codebook_entries == 0) bits += static_cast<double>(tensor.numel()) * 32.0;
    for (const auto& [name, parameter] : layer->params)
      bits += static_cast<double>(parameter.numel()) * 32.0;
  }
  return bits / weights;
}

}  // namespace bitloop::trainer
