-- Centred: ternary about the row's mean, with the scale that fits best and learned steps for activations.
--
-- Paper:           none: an idea of agents in MLS-Bench's task llm-pretrain-bitlinear, known by this description only; the
--                  constants are ours. Activations: "Learned Step Size Quantization" (Esser et al., 2019).
-- Weights:         m = mean W of the row, C = W - m; codes = clamp(round(C / mean |C|), -1, 1); s = sum(C codes) /
--                  sum(codes^2), which has the least squared error for these codes; value = codes * s + m.
-- Levels:          -1, 0, 1. Granularity: one scale and one offset a row (output feature).
-- Activations:     8 bits: codes = round(clamp(x / t, -128, 127)) with one learned step t a layer, the same for all tokens.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale, 16 / K for its offset and 32 / (N K) for the learned
--                  step.
-- Gradient:        straight through for weights; for x and t as in lsq.lua.
--
-- An offset makes value = {m - s, m, m + s}: ternary codes for rows that do not balance. It costs as much as the scale, and
-- a product of integers alone no longer gives y. As in lsq.lua, t begins at 2 mean |x| / sqrt(127) with a guessed mean.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "centred",
  doc = "row-centred ternary with least-squares scales, int8 activations with a learned step (LSQ)",
  levels = {-1, 0, 1},
}

function Q.init(layer)
  local from_norm = layer.kind == "attn_qkv" or layer.kind == "mlp_fc" or layer.kind == "head"
  local input_size = from_norm and 0.8 or 0.1  -- a guess at mean |x|
  local step = torch.tensor(2 * input_size / math.sqrt(127))
  return {params = {input_step = {value = step, lr_scale = 0.05}}}
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local mean = w:mean{dim = 1, keepdim = true}  -- (N, 1)
  local centred = w - mean
  local size = centred:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}
  local codes = (centred / size):round():clamp{min = -1, max = 1}
  local count = codes:square():sum{dim = 1, keepdim = true}:clamp{min = 1}
  local scale = (centred * codes):sum{dim = 1, keepdim = true} / count
  return {codes = codes, scale = scale:clamp{min = 1e-5}, offset = mean}
end

-- p, whose gradient is multiplied by g.
local function damped(p, g) return p * g + (p * (1 - g)):detach() end

function Q.activation_quant(x, ctx)  -- x: (rows, K); codes are integers in [-128, 127]
  local step = damped(ctx.params.input_step, 1 / math.sqrt(127 * x:size(1))):clamp{min = 1e-5}
  local codes = bitloop.ste_round((x / step):clamp{min = -128, max = 127})
  return {codes = codes, scale = step, surrogate = codes * step}
end
-- END EDITABLE

-- BEGIN EDITABLE config
local CONFIG_OVERRIDES = {}
-- END EDITABLE

Q.config = CONFIG_OVERRIDES
return Q
