-- Flat group: ternary in groups of the flattened weight, eased in by a growing share of quantisation.
--
-- Paper:           none of its own: the recipe of quantisation-aware training of small ternary language models from a float
--                  checkpoint; levels and mean magnitude as in "The Era of 1-bit LLMs" (Ma et al., 2024).
-- Weights:         groups of 128 over the flattened W, the last one padded with zeros; s = mean |W| of the group; codes =
--                  sign(W) where |W| > 0.5 s (the dead zone), else 0; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale for 128 weights, across rows.
-- Activations:     16 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 32 / 128 for the group's scale.
-- Gradient:        straight through.
--
-- The layer returns y = y_float + lambda (y_quantised - y_float), with lambda growing from 0 to 1 over the first 30% of the
-- training, by one of five curves. So a float model is not broken in one step, and weights find their side of the dead zone
-- while they still work as floats. The gradient is the float path's (blend = "output"). The score is taken at lambda = 1.
-- Scales are float32 because 1/32767 of a token's largest input is smaller than what float16 holds well; weights' scales
-- are then counted at 32 bits too.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "flat_group",
  doc = "ternary by absmean of flat groups of 128, linear lambda warm-up on outputs, 16-bit activations",
  levels = {-1, 0, 1},
  group = 128,
  flat_groups = true,
  activation_bits = 16,
  scale_dtype = "float32",
  blend = "output",
}
local THRESHOLD = 0.5  -- the dead zone's edge in scales

-- The share of quantisation at t of the warm-up, 0 to 1. None sees the loss: "plateau" rests at a half for a fixed time.
local SCHEDULES = {
  linear = function(t) return t end,
  cosine = function(t) return (1 - math.cos(math.pi * t)) / 2 end,
  exponential = function(t) return (1 - math.exp(-5 * t)) / (1 - math.exp(-5)) end,
  steps = function(t) return math.floor(4 * t) / 4 end,
  plateau = function(t) return math.min(2 * t, math.max(0.5, 3 * t - 2)) end,
}
local SCHEDULE, WARMUP = "linear", 0.3  -- which one, and its share of the training

function Q.lambda(ctx) return SCHEDULES[SCHEDULE](math.min(1, ctx.progress / WARMUP)) end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local groups = bitloop.blocks(w:reshape(-1), 128)  -- (ceil(N K / 128), 128)
  local scale = groups:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}
  local codes = groups:sign() * groups:abs():gt(THRESHOLD * scale):float()
  return bitloop.unblocks(codes, w:numel()):view_as(w), scale
end

function Q.activation_quant(x, ctx)  -- x: (rows, K); codes are integers in [-32768, 32767]
  local largest = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5}
  return (x * (32767 / largest)):round():clamp{min = -32768, max = 32767}, largest / 32767
end
-- END EDITABLE

-- BEGIN EDITABLE config
local CONFIG_OVERRIDES = {}
-- END EDITABLE

Q.config = CONFIG_OVERRIDES
return Q
