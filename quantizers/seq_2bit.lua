-- SEQ 2-bit: stretched elastic quantisation, evenly spaced levels of a learned range.
--
-- Paper:           "ParetoQ: Scaling Laws in Extremely Low-bit LLM Quantization" (Liu et al., 2025).
-- Weights:         with r = clamp(W / a, -0.99, 0.99) and a learned range a that begins at max |W| of the row: codes =
--                  (round(2 r - 1/2) + 1/2) / 2, value = codes * a.
-- Levels:          -3/4, -1/4, 1/4, 3/4. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   2, plus 16 / K for the row's scale and 32 / K for the parameter that it is rounded from.
-- Gradient:        dvalue/dW = 1 where |W / a| <= 0.99, else 0; dvalue/da = codes - W / a there, codes elsewhere, times 1 /
--                  sqrt(number of weights) as in LSQ.
--
-- The four levels cut [-1, 1] into four equal parts, and each stands in the middle of its part; none of them is 0. int2.lua
-- puts its outer levels on the ends of the range instead. Departs from the paper: activations have 8 bits, and training
-- starts from nothing and not from a float model.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "seq_2bit",
  doc = "2-bit weights with a learned range a row (SEQ of ParetoQ), per-token absmax int8 activations",
  levels = {-3/4, -1/4, 1/4, 3/4},
}

function Q.init(layer)
  local range = layer.weight:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
  return {params = {range = {value = range, lr_scale = 0.05}}}
end

-- p, whose gradient is multiplied by g.
local function damped(p, g) return p * g + (p * (1 - g)):detach() end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local range = damped(ctx.params.range, 1 / math.sqrt(w:numel())):clamp{min = 1e-5}
  local ratio = (w / range):clamp{min = -0.99, max = 0.99}
  local codes = (bitloop.ste_round(ratio * 2 - 0.5) + 0.5) / 2
  return {codes = codes, scale = range, surrogate = codes * range}
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
