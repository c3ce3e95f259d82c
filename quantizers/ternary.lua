-- Ternary: absmean weights, per-token absmax activations.
--
-- Paper:           "The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits" (Ma et al., 2024), BitNet b1.58.
-- Weights:         codes = clamp(round(W / s), -1, 1) with s = mean |W|; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a layer.
-- Activations:     8 bits: codes = clamp(round(127 x / max |x|), -128, 127), one scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / (N K) for the layer's scale.
-- Gradient:        straight through: the value's gradient is the latent weight's.
--
-- The mean, not the maximum, sets the scale: a weight becomes 0 when it is smaller than half the mean magnitude, and about a
-- third of Gaussian weights are. The zero is what makes ternary better than binary: a connection can be off.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "ternary",
  doc = "absmean ternary weights, per-token absmax int8 activations (BitNet b1.58)",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():mean():clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end

function Q.activation_quant(x, ctx)  -- x: (rows, K); codes are integers in [-128, 127]
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / scale):round():clamp{min = -128, max = 127}, scale
end
-- END EDITABLE

-- BEGIN EDITABLE config
local CONFIG_OVERRIDES = {}
-- END EDITABLE

Q.config = CONFIG_OVERRIDES
return Q
