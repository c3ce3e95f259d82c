-- QuEST at 2 bits: rotate, put the best grid for a normal distribution on it, trust only gradients of weights near their
-- level.
--
-- Paper:           "QuEST: Stable Training of LLMs with 1-Bit Weights and Activations" (Panferov et al., 2025).
-- Weights:         W is the latent weight times Hadamard blocks of 128 inputs; s = 1.4935346200 RMS of the row; codes = (2
--                  clamp(round((3 W / s + 3) / 2), 0, 3) - 3) / 3, value = codes * s.
-- Levels:          -1, -1/3, 1/3, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, in the same rotation: codes = clamp(round(x / t), -128, 127), t = 2/255 x 3.8849386788 RMS of
--                  the token.
-- Bits a weight:   2, plus 16 / K for the row's scale.
-- Gradient:        passes where |value - W| <= s / 3, half a step (the trust mask), else 0, then back through the rotation;
--                  for activations alike.
--
-- After a rotation by Hadamard blocks weights and inputs look normal, whatever they were, so the best evenly spaced grid
-- for a normal distribution is known beforehand: its ends at 1.494 RMS. Beyond the grid, where a weight is further than
-- half a step from its level (|W| > 4/3 s), the gradient was taken somewhere else and is not trusted.
-- Departs from the paper: activations have 8 bits, not the weights' 2, and their grid has a 0. K must be a multiple of 128.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "quest_2bit",
  doc = "2 bits a weight by RMS after Hadamard blocks, with a trust mask, int8 activations (QuEST)",
  levels = {-1, -1/3, 1/3, 1},
  transform = {kind = "hadamard", block = 128},
}

local function rms(x) return x:square():mean{dim = -1, keepdim = true}:sqrt() end

function Q.weight_quant(w, ctx)  -- w: rotated latent weight (N, K), float32
  local scale = (rms(w) * 1.4935346200):clamp{min = 1e-5}  -- (N, 1)
  local ratio = w / scale
  local codes = (((ratio * 3 + 3) / 2):round():clamp{min = 0, max = 3} * 2 - 3) / 3
  local trusted = (codes - ratio):abs():le(1/3)
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
