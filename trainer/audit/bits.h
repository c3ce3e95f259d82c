// Bits per weight, over the BitLinear layers: log2(levels) a weight, and everything else that
// evaluation needs at the width it is stored with: scales, offsets, codebooks, row biases, learned
// parameters and state (float32).
#pragma once

#include <span>

#include "lua/quantizer/quantizer.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

// Requires: model.quantize_weights ran. 32 where weights are not quantised.
double bits_per_weight(Transformer& model, const lua::Quantizer* quantizer);
// The same over some layers.
double bits_per_weight(std::span<BitLinear* const> layers, const lua::Quantizer* quantizer);

}  // namespace bitloop::trainer
