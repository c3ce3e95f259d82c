-- Tanh-sigmoid: ternary whose gradient is that of a smooth staircase, sharpened as training goes on.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         codes = clamp(round(W / s), -1, 1) with s = mean |W| of the row; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale.
-- Gradient:        of s tanh(b r) sigmoid(b (|r| - 1/2)) with r = W / s, s taken as a constant, and b = 2 + 6 progress.
--
-- The tanh is a soft sign, the sigmoid a soft dead zone. At b = 2 the staircase is nearly a line and every weight learns;
-- at b = 8 only weights near an edge of the dead zone do. Since b depends on the step, weights are quantised eager, not
-- captured.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "tanh_sigmoid",
  doc = "ternary by the row's absmean, gradient of an annealed tanh-sigmoid, per-token absmax int8 activations",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}:detach()  -- (N, 1)
  local ratio, sharpness = w / scale, 2 + 6 * ctx.progress
  local soft = (ratio * sharpness):tanh() * ((ratio:abs() - 0.5) * sharpness):sigmoid()
  return {codes = ratio:round():clamp{min = -1, max = 1}, scale = scale, surrogate = soft * scale}
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
