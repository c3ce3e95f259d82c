-- RMS row: ternary by the row's root mean square, kept near the layer's.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         codes = clamp(round(W / s), -1, 1) with s = RMS of the row, clamped to between half and twice the RMS of
--                  the layer; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- A scale of its own lets every output feature have its size; the clamp keeps a row that shrank from turning noise into
-- codes, and one that grew from drowning the others.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "rms_row",
  doc = "ternary weights by the row's RMS within a factor 2 of the layer's, int8 activations",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local squares = w:square()
  local layer = squares:mean():sqrt()
  local row = squares:mean{dim = 1, keepdim = true}:sqrt()  -- (N, 1)
  local scale = row:clamp{min = layer / 2, max = layer * 2}:clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
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
