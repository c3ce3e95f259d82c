-- Flat group absmax: as flat_group.lua, with the group's largest weight as its scale.
--
-- Paper:           none of its own: the variant of the recipe of flat_group.lua.
-- Weights:         groups of 128 over the flattened W, the last one padded with zeros; s = max |W| of the group; codes =
--                  sign(W) where |W| > 0.3 s (the dead zone), else 0; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale for 128 weights, across rows.
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / 128 for the group's scale.
-- Gradient:        straight through.
--
-- The largest of 128 normal weights is about 2.6 deviations, so every code that is not 0 stands for more than most weights
-- it replaces: what the maximum costs. Lambda grows along an exponential, fast at first, over the first 30% of the
-- training.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "flat_group_absmax",
  doc = "ternary by absmax of flat groups of 128, exponential lambda warm-up on outputs, int8 activations",
  levels = {-1, 0, 1},
  group = 128,
  flat_groups = true,
  blend = "output",
}
local THRESHOLD = 0.3  -- the dead zone's edge in scales
local WARMUP = 0.3     -- share of the training until lambda is 1

function Q.lambda(ctx)
  local t = math.min(1, ctx.progress / WARMUP)
  return (1 - math.exp(-5 * t)) / (1 - math.exp(-5))
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local groups = bitloop.blocks(w:reshape(-1), 128)  -- (ceil(N K / 128), 128)
  local scale = groups:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}
  local codes = groups:sign() * groups:abs():gt(THRESHOLD * scale):float()
  return bitloop.unblocks(codes, w:numel()):view_as(w), scale
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
