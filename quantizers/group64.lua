-- Group 64: ternary in groups of 64 inputs, whose dead zone follows the shape of the group's distribution.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours.
-- Weights:         in each group of 64 inputs of a row: D = sum(W^2) / (2 sum |W|); codes = sign(W) where |W| > D, else 0;
--                  s = 3/4 (mean of |W| over |W| > D) + 1/4 RMS; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale for 64 inputs of a row.
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / 64 for the group's scale.
-- Gradient:        straight through.
--
-- The best dead zone of a distribution, in mean magnitudes, is 2/3 if it is uniform, 0.77 if normal and 1 if it is
-- Laplace's. D is 2/3, 0.785 and 1: right at both ends, and nearly so between, without a sort. The bit of RMS shrinks a
-- scale that a few large weights pull up. Where 64 does not divide K the last group is padded with zeros, which count in
-- its RMS.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "group64",
  doc = "ternary groups of 64 with an adaptive dead zone and RMS-mixed scales, per-token absmax int8 activations",
  levels = {-1, 0, 1},
  group = 64,
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local groups = bitloop.blocks(w, 64)  -- (N, ceil(K / 64), 64)
  local size = groups:abs()
  local squares = groups:square():sum{dim = -1, keepdim = true}  -- (N, ceil(K / 64), 1)
  local edge = squares / (2 * size:sum{dim = -1, keepdim = true}):clamp{min = 1e-12}
  local kept = size:gt(edge):float()
  local mean = (size * kept):sum{dim = -1, keepdim = true} / kept:sum{dim = -1, keepdim = true}:clamp{min = 1}
  local scale = (0.75 * mean + 0.25 * (squares / 64):sqrt()):clamp{min = 1e-5}
  return bitloop.unblocks(groups:sign() * kept, w:size(1)), scale:squeeze(-1)
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
