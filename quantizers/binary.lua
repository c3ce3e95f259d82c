-- Binary: the sign of each weight, one mean magnitude a row.
--
-- Paper:           "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks" (Rastegari et al., 2016);
--                  in language models "BitNet: Scaling 1-bit Transformers for Large Language Models" (Wang et al., 2023).
-- Weights:         codes = sign(W), value = codes * s with s = mean |W| of the row: the scale with the least squared error
--                  for given signs.
-- Levels:          -1, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   1, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- sign(0) is 0, which is not a level: so the code is 1 where w >= 0 and -1 elsewhere.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "binary",
  doc = "sign weights with a mean magnitude per row, per-token absmax int8 activations",
  levels = {-1, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local scale = w:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}  -- (N, 1)
  return torch.where(w:ge(0), 1, -1), scale
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
