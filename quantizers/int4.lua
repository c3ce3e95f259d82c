-- Int4: 4-bit integers, the row's largest weight at the end of the grid.
--
-- Paper:           none of its own: round to nearest with an absmax scale, the baseline of "GPTQ: Accurate Post-Training
--                  Quantization for Generative Pre-trained Transformers" (Frantar et al., 2022) and of many others.
-- Weights:         codes = clamp(round(W / s), -8, 7) with s = max |W| / 7 of the row; value = codes * s.
-- Levels:          -8 … 7. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   4, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- Unlike int2's grid this one has a 0, and so one more negative level than positive ones. With the maximum at 7 the level
-- -8 is never reached: 15 of 16 levels work, and are paid for as 16.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "int4",
  doc = "4-bit integer weights by the row's absmax, per-token absmax int8 activations",
  bits = 4,
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5} / 7  -- (N, 1)
  return (w / scale):round():clamp{min = -8, max = 7}, scale
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
