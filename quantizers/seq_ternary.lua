-- SEQ ternary: stretched elastic quantisation, evenly spaced levels of a learned range.
--
-- Paper:           "ParetoQ: Scaling Laws in Extremely Low-bit LLM Quantization" (Liu et al., 2025).
-- Weights:         with r = clamp(W / a, -0.99, 0.99) and a learned range a that begins at max |W| of the row: codes =
--                  round(1.5 r) / 1.5, value = codes * a.
-- Levels:          -2/3, 0, 2/3. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale and 32 / K for the parameter that it is rounded from.
-- Gradient:        dvalue/dW = 1 where |W / a| <= 0.99, else 0; dvalue/da = codes - W / a there, codes elsewhere, times 1 /
--                  sqrt(number of weights) as in LSQ.
--
-- The three levels cut [-1, 1] into three equal parts, and each stands in the middle of its part.
-- Departs from the paper: activations have 8 bits, training starts from nothing and not from a float model, and outside of
-- the range da/dvalue is the derivative 2/3 of the value, where the authors' program has 1.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "seq_ternary",
  doc = "ternary weights with a learned range a row (SEQ of ParetoQ), per-token absmax int8 activations",
  levels = {-2/3, 0, 2/3},
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
  local codes = bitloop.ste_round(ratio * 1.5) / 1.5
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
