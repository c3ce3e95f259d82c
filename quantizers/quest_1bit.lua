-- QuEST at 1 bit: rotate, put the best grid for a normal distribution on it, trust only gradients of weights near their
-- level.
--
-- Paper:           "QuEST: Stable Training of LLMs with 1-Bit Weights and Activations" (Panferov et al., 2025).
-- Weights:         W is the latent weight times Hadamard blocks of 128 inputs; s = 0.7978845587 RMS of the row; codes = 1
--                  where W >= 0, else -1, value = codes * s.
-- Levels:          -1, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, in the same rotation: codes = clamp(round(x / t), -128, 127), t = 2/255 x 3.8849386788 RMS of
--                  the token.
-- Bits a weight:   1, plus 16 / K for the row's scale.
-- Gradient:        passes where |value - W| <= s, half a step (the trust mask), else 0, then back through the rotation; for
--                  activations alike.
--
-- After a rotation by Hadamard blocks weights and inputs look normal, whatever they were, so the best grid for a normal
-- distribution is known beforehand: the mean magnitude, 0.798 RMS. A weight that lies further from its level than two
-- neighbouring levels are apart from their middle (|W| > 2 s) has a gradient that was taken somewhere else: it is not
-- trusted.
-- Departs from the paper: activations have 8 bits, not the weights' 1, and their grid has a 0. K must be a multiple of 128.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "quest_1bit",
  doc = "1 bit a weight by RMS after Hadamard blocks, with a trust mask, int8 activations (QuEST)",
  levels = {-1, 1},
  transform = {kind = "hadamard", block = 128},
}

local function rms(x) return x:square():mean{dim = -1, keepdim = true}:sqrt() end

function Q.weight_quant(w, ctx)  -- w: rotated latent weight (N, K), float32
  local scale = (rms(w) * 0.7978845587):clamp{min = 1e-5}  -- (N, 1)
  local ratio = w / scale
  local codes = torch.where(ratio:ge(0), 1, -1)
  local trusted = (codes - ratio):abs():le(1)
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
