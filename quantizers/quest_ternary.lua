-- QuEST at 1.58 bits: rotate, put the best grid for a normal distribution on it, trust only gradients of weights near their
-- level.
--
-- Paper:           "QuEST: Stable Training of LLMs with 1-Bit Weights and Activations" (Panferov et al., 2025).
-- Weights:         W is the latent weight times Hadamard blocks of 128 inputs; s = 1.2240089519 RMS of the row; codes =
--                  clamp(round(W / s), -1, 1), value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, in the same rotation: codes = clamp(round(x / t), -128, 127), t = 2/255 x 3.8849386788 RMS of
--                  the token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale.
-- Gradient:        passes where |value - W| <= s / 2, half a step (the trust mask), else 0, then back through the rotation;
--                  for activations alike.
--
-- After a rotation by Hadamard blocks weights and inputs look normal, whatever they were, so the best grid for a normal
-- distribution is known beforehand: three levels 1.224 RMS apart. Beyond the grid, where a weight is further than half a
-- step from its level (|W| > 1.5 s), the gradient was taken somewhere else and is not trusted.
-- Departs from the paper: activations have 8 bits, not the weights' 1.58, and their grid has a 0. K must be a multiple of
-- 128.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "quest_ternary",
  doc = "1.58 bits a weight by RMS after Hadamard blocks, with a trust mask, int8 activations (QuEST)",
  levels = {-1, 0, 1},
  transform = {kind = "hadamard", block = 128},
}

local function rms(x) return x:square():mean{dim = -1, keepdim = true}:sqrt() end

function Q.weight_quant(w, ctx)  -- w: rotated latent weight (N, K), float32
  local scale = (rms(w) * 1.2240089519):clamp{min = 1e-5}  -- (N, 1)
  local ratio = w / scale
  local codes = ratio:round():clamp{min = -1, max = 1}
  local trusted = (codes - ratio):abs():le(0.5)
  return {codes = codes, scale = scale, surrogate = w * trusted:float()}
end

function Q.activation_quant(x, ctx)  -- x: rotated (rows, K); codes are integers in [-128, 127]
  local scale = (rms(x) * (3.8849386788 * 2 / 255)):clamp{min = 1e-5}
  local ratio = x / scale
  local codes = ratio:round():clamp{min = -128, max = 127}
  local trusted = (codes - ratio):abs():le(0.5)
  return {codes = codes, scale = scale, surrogate = x * trusted:float()}
end
-- END EDITABLE

-- BEGIN EDITABLE config
local CONFIG_OVERRIDES = {}
-- END EDITABLE

Q.config = CONFIG_OVERRIDES
return Q
