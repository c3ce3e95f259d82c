-- RMS tensor: ternary by the layer's root mean square.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         codes = clamp(round(W / s), -1, 1) with s = RMS of W over the layer; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a layer.
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / (N K) for the layer's scale.
-- Gradient:        straight through.
--
-- For normal weights the RMS is 1.25 mean magnitudes: a wider dead zone (0.5 deviations, 38% zeros) and longer levels than
-- ternary.lua's (0.4, 31%), closer to the least squared error (0.61 and 1.22 deviations). Outliers count more in it.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "rms_tensor",
  doc = "ternary weights by the layer's RMS, per-token absmax int8 activations",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:square():mean():sqrt():clamp{min = 1e-5}
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
