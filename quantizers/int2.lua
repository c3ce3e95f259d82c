-- Int2: four evenly spaced levels between minus and plus the row's largest weight.
--
-- Paper:           round-to-nearest with an absmax scale, the plain uniform quantiser (for instance "LLM.int8()",
--                  Dettmers et al., 2022), at two bits and made symmetric.
-- Weights:         with s = max |W| of the row, W / s lies in [-1, 1]; the levels there are two thirds apart:
--                  codes = (2 clamp(round((3 W / s + 3) / 2), 0, 3) - 3) / 3, value = codes * s.
-- Levels:          -1, -1/3, 1/3, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   2, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- No level is 0: two bits are spent on four magnitudes with signs. One outlier stretches the whole row's grid, which is
-- what the maximum costs and a mean would not.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "int2",
  doc = "2-bit weights at -1, -1/3, 1/3, 1 of the row's absmax, per-token absmax int8 activations",
  levels = {-1, -1/3, 1/3, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
  local place = ((w / scale * 3 + 3) / 2):round():clamp{min = 0, max = 3}  -- 0, 1, 2, 3
  return (place * 2 - 3) / 3, scale
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
