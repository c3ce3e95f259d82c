-- Percentile 85: ternary whose scale is the magnitude that 85% of the row's weights stay below.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         s = the 0.85-quantile of |W| in the row, interpolated; codes = clamp(round(W / s), -1, 1); value = codes
--                  * s.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- A quantile is deaf to how large the outliers are. For normal weights s is 1.44 deviations, so 53% of the codes are 0 (the
-- least squared error is at 1.22 and 46%, the 78th percentile). A quantile sorts each row; it runs eager.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "percentile85",
  doc = "ternary weights by the 85th percentile of the row's magnitudes, per-token absmax int8 activations",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():quantile{q = 0.85, dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
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
