-- Five levels: halves of the row's largest weight.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         codes = round(2 W / s) / 2 with s = max |W| of the row; value = codes * s.
-- Levels:          -1, -1/2, 0, 1/2, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(5) = 2.322, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- Between ternary's wide dead zone and int2's missing zero: a fifth level costs a third of a bit more than int2's four.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "five_levels",
  doc = "five levels at halves of the row's absmax, per-token absmax int8 activations",
  levels = {-1, -1/2, 0, 1/2, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
  return (w / scale * 2):round():clamp{min = -2, max = 2} / 2, scale
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
