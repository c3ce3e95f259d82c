-- LSQ: the step of the grid is learned together with the weights.
--
-- Paper:           "Learned Step Size Quantization" (Esser et al., 2019).
-- Weights:         codes = round(clamp(W / s, -2, 1)), value = codes * s, with a learned step s that begins at 2 mean |W| /
--                  sqrt(1).
-- Levels:          -2, -1, 0, 1. Granularity: one scale a layer.
-- Activations:     8 bits: codes = round(clamp(x / t, -128, 127)) with one learned step t a layer, the same for all tokens.
-- Bits a weight:   2, plus 16 / (N K) for the layer's scale and 64 / (N K) for both learned steps.
-- Gradient:        dvalue/dW = 1 where -2 <= W / s <= 1, else 0. dvalue/ds = codes - W / s there, codes elsewhere, times 1
--                  / sqrt(number of weights x 1); for t alike, times 1 / sqrt(K x 127).
--
-- One expression makes all of it: the surrogate is the value itself, with a rounding that lets gradients through.
-- Departs from the paper: activations have 8 bits, not the weights' 2. init sees no activations, so t begins at the paper's
-- 2 mean |x| / sqrt(127) with a mean guessed by the layer's kind (docs/model.md). AdamW makes steps of one length for every
-- parameter, so lr_scale keeps them small beside s and t.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "lsq",
  doc = "2-bit weights and int8 activations with learned step sizes (LSQ)",
  bits = 2,
}

function Q.init(layer)
  local from_norm = layer.kind == "attn_qkv" or layer.kind == "mlp_fc" or layer.kind == "head"
  local input_size = from_norm and 0.8 or 0.1  -- a guess at mean |x|
  return {params = {
    step = {value = (2 * layer.weight:abs():mean()):clamp{min = 1e-5}, lr_scale = 0.05},
    input_step = {value = torch.tensor(2 * input_size / math.sqrt(127)), lr_scale = 0.05},
  }}
end

-- p, whose gradient is multiplied by g.
local function damped(p, g) return p * g + (p * (1 - g)):detach() end

local function learned_step(x, parameter, low, high, count)
  local step = damped(parameter, 1 / math.sqrt(count * high)):clamp{min = 1e-5}
  local codes = bitloop.ste_round((x / step):clamp{min = low, max = high})
  return {codes = codes, scale = step, surrogate = codes * step}
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  return learned_step(w, ctx.params.step, -2, 1, w:numel())
end

function Q.activation_quant(x, ctx)  -- x: (rows, K); codes are integers in [-128, 127]
  return learned_step(x, ctx.params.input_step, -128, 127, x:size(1))
end
-- END EDITABLE

-- BEGIN EDITABLE config
local CONFIG_OVERRIDES = {}
-- END EDITABLE

Q.config = CONFIG_OVERRIDES
return Q
