-- Flat group soft: as flat_group.lua, with the gradient of a soft ternary, a learned scale and a way out of the dead zone.
--
-- Paper:           none of its own: the recipe of flat_group.lua with its options; the soft staircase of tanhs as in
--                  "Differentiable Soft Quantization" (Gong et al., 2019).
-- Weights:         groups of 128 over the flattened W, the last one padded with zeros; s = g mean |W| of the group with one
--                  learned gain g a layer, 1 at first; r = W / s; codes = sign(r) where |r| > 0.5, else 0; value = codes *
--                  s.
-- Levels:          -1, 0, 1. Granularity: one scale for 128 weights, across rows.
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / 128 for the group's scale and 32 / (N K) for the gain.
-- Gradient:        of s soft(r) + 0.1 W in the dead zone, with soft(r) = (tanh(3 (r - 0.5)) + tanh(3 (r + 0.5))) / 2 and
--                  mean |W| taken as a constant.
--
-- Soft's slope is 1.5 at the edges of the dead zone, where a small step changes a code, 0.5 in its middle and 0 far
-- outside. The recovery term keeps a slope where it would fade. Lambda follows a cosine over the first 30% of the training,
-- and blends weights, not outputs: a blended output has the gradient of the float path alone, which neither the staircase
-- nor the gain would see.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "flat_group_soft",
  doc = "ternary flat groups with soft tanh gradients, learned gain, dead-zone recovery, cosine lambda warm-up",
  levels = {-1, 0, 1},
  group = 128,
  flat_groups = true,
}
local THRESHOLD = 0.5  -- the dead zone's edge in scales
local SHARPNESS = 3    -- of the soft staircase
local RECOVERY = 0.1   -- slope added in the dead zone
local WARMUP = 0.3     -- share of the training until lambda is 1

function Q.lambda(ctx) return (1 - math.cos(math.pi * math.min(1, ctx.progress / WARMUP))) / 2 end

function Q.init(layer) return {params = {gain = {value = torch.tensor(1), lr_scale = 1}}} end

local function soft(r)
  return (((r - THRESHOLD) * SHARPNESS):tanh() + ((r + THRESHOLD) * SHARPNESS):tanh()) / 2
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local groups = bitloop.blocks(w:reshape(-1), 128)  -- (ceil(N K / 128), 128)
  local size = groups:abs():mean{dim = 1, keepdim = true}:detach()
  local scale = (size * ctx.params.gain):clamp{min = 1e-5}
  local ratio = groups / scale
  local kept = ratio:abs():gt(THRESHOLD):float()
  local surrogate = soft(ratio) * scale + groups * (1 - kept) * RECOVERY
  local function like_w(blocks) return bitloop.unblocks(blocks, w:numel()):view_as(w) end
  return {codes = like_w(ratio:sign() * kept), scale = scale, surrogate = like_w(surrogate)}
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
