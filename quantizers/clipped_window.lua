-- Clipped window: ternary by the row's mean, whose gradient stops far outside of the levels.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         codes = clamp(round(W / s), -1, 1) with s = mean |W| of the row; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale.
-- Gradient:        straight through where |W| <= 2.5 s, else 0: the clipped straight-through estimator of "Binarized Neural
--                  Networks" (Hubara et al., 2016), with a window in scales.
--
-- A weight that is far beyond its level changes nothing by growing, yet straight through it goes on growing. Here it stops;
-- weight decay brings it back in reach. For normal weights 2.5 s is two standard deviations: one weight in twenty.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "clipped_window",
  doc = "ternary by the row's absmean, straight-through within 2.5 scales, per-token absmax int8 activations",
  levels = {-1, 0, 1},
}
local WINDOW = 2.5

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
  local inside = w:abs():le(WINDOW * scale):float()
  return {codes = (w / scale):round():clamp{min = -1, max = 1}, scale = scale, surrogate = w * inside}
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
