-- Tequila: weights in the dead zone work as a bias, so that a gradient can lift them out of it.
--
-- Paper:           "Tequila: Trapping-free Ternary Quantization for Large Language Models" (Huang et al., 2025).
-- Weights:         with s = mean |W| of the row: codes = sign(W) where |W| >= s / 2, else 0; value = codes * s. A row's
--                  bias gets lambda times the sum of the row's weights whose code is 0, with lambda = 0.001.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token (the paper's are float).
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale and 16 / K for its bias.
-- Gradient:        straight through; dL/dW = x dL/dy, and + lambda dL/dy for a weight in the dead zone.
--
-- Seen straight through, a weight inside the dead zone gets the noisy gradient of an input that it does not multiply, and
-- may stay there for ever. The bias makes it count again, in forward too, at the price of one number a row once training is
-- over.
-- Departs from the paper: scales a row, not for groups of 128 inputs, and a fixed lambda.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "tequila",
  doc = "ternary weights whose dead zone acts as a bias (Tequila), per-token absmax int8 activations",
  levels = {-1, 0, 1},
}
local LAMBDA = 1e-3

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
  return w:sign() * w:abs():ge(scale / 2):float(), scale
end

function Q.row_bias(w, codes, ctx)  -- (N): one number a row
  return (w * codes:eq(0):float()):sum{dim = 1} * LAMBDA
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
