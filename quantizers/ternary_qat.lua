-- Ternary QAT: a trained float model made ternary, in groups of the flattened weight.
--
-- Paper:           none of its own: the recipe of quantisation-aware training of SmolLM-135M from its float checkpoint.
-- Weights:         groups of 128 over the flattened W, the last one padded with zeros; s = mean |W| of the group; codes =
--                  sign(W) where |W| > 0.5 s (the dead zone), else 0; value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale for 128 weights, across rows.
-- Activations:     16 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 32 / 128 for the group's scale.
-- Gradient:        straight through; with the options below it is theirs.
--
-- Lambda is the preset's (qat.lambda and its fellows: smollm-135m has the plateau of the recipe, 0.05 more every 500 steps
-- to at most 0.8), and blends outputs, whose gradient is the float path's. Options, off as the recipe was run:
--   SOFT     the gradient of a soft staircase, tanh of temperature 0.05, in place of the float path's
--   LEARNED  one learned gain a layer on all scales
--   RECOVER  a push out of the dead zone while more than 40% of a layer's weights are in it
-- With any of them lambda blends weights: a blended output has the gradient of the float path alone.

-- BEGIN EDITABLE quantizer
local SOFT, LEARNED, RECOVER = false, false, false
local OPTIONS = SOFT or LEARNED or RECOVER
local Q = {
  name = "ternary_qat",
  doc = "ternary by absmean of flat groups of 128, 16-bit activations, lambda of the preset: QAT from a float model",
  levels = {-1, 0, 1},
  group = 128,
  flat_groups = true,
  activation_bits = 16,
  scale_dtype = "float32",
  blend = OPTIONS and "weight" or "output",
}
local GROUP = 128           -- 64 and 256 work, too: also in Q.group
local THRESHOLD = 0.5       -- the dead zone's edge in scales
local TEMPERATURE = 0.05    -- of the soft staircase
local DEAD, PUSH = 0.4, 0.1  -- share of zeros that is too much, and the slope that is added then

if LEARNED then
  function Q.init(layer) return {params = {gain = {value = torch.tensor(1), lr_scale = 1}}} end
end

local function soft(ratio)
  return (((ratio - THRESHOLD) / TEMPERATURE):tanh() + ((ratio + THRESHOLD) / TEMPERATURE):tanh()) / 2
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local groups = bitloop.blocks(w:reshape(-1), GROUP)  -- (ceil(N K / 128), 128)
  local scale = groups:abs():mean{dim = 1, keepdim = true}:detach()
  if LEARNED then scale = scale * ctx.params.gain end
  scale = scale:clamp{min = 1e-5}
  local ratio = groups / scale
  local kept = ratio:abs():gt(THRESHOLD):float()
  local codes = ratio:sign() * kept
  local function like_w(blocks) return bitloop.unblocks(blocks, w:numel()):view_as(w) end
  if not OPTIONS then return like_w(codes), scale end
  local surrogate
  if SOFT then
    surrogate = soft(ratio) * scale
  else
    surrogate = groups + codes:detach() * (scale - scale:detach())  -- straight through, and the gain's
  end
  if RECOVER then
    local too_many = (1 - kept):mean():gt(DEAD):float()
    surrogate = surrogate + groups * (1 - kept) * (too_many * PUSH)
  end
  return {codes = like_w(codes), scale = scale, surrogate = like_w(surrogate)}
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
