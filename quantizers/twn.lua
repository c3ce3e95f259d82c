-- TWN: a dead zone from the mean magnitude, the scale from what is left.
--
-- Paper:           "Ternary Weight Networks" (Li, Zhang, Liu, 2016).
-- Weights:         with D = 0.7 mean |W|: codes = sign(W) where |W| > D, else 0; s = mean of |W| over |W| > D; value =
--                  codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a layer.
-- Activations:     8 bits, one absmax scale a token (the paper's are float).
-- Bits a weight:   log2(3) = 1.585, plus 16 / (N K) for the layer's scale.
-- Gradient:        straight through.
--
-- The pair (D, s) with the least squared error has s = mean |W| over |W| > D and D = s / 2. The paper solves this for a
-- uniform distribution (D = 0.67 mean |W|) and a normal one (0.75) and takes 0.7 for all. ternary_l2.lua solves it for the
-- row at hand.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "twn",
  doc = "ternary weights with a dead zone of 0.7 mean magnitudes (TWN), per-token absmax int8 activations",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local size = w:abs()
  local kept = size:gt(0.7 * size:mean()):float()  -- (N, K): 1 outside of the dead zone
  local scale = (size * kept):sum() / kept:sum():clamp{min = 1}
  return w:sign() * kept, scale:clamp{min = 1e-5}
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
