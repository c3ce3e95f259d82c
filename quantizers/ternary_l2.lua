-- Ternary L2: of all ternary approximations of a row the one with the least squared error.
--
-- Paper:           the optimum that "Ternary Weight Networks" (Li, Zhang, Liu, 2016) approximates by a threshold; found
--                  exactly by sorting.
-- Weights:         |W - s codes|^2 is least where s = mean of the k largest |W| of the row and (sum of the k largest |W|)^2
--                  / k is largest over k; codes = clamp(round(W / s), -1, 1), value = codes * s.
-- Levels:          -1, 0, 1. Granularity: one scale a row (output feature).
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(3) = 1.585, plus 16 / K for the row's scale.
-- Gradient:        straight through.
--
-- With the k largest kept, s = their mean and the error is |W|^2 - (their sum)^2 / k: hence the rule for k. Once s is known
-- the nearest level is best for every weight, so rounding finds the same k again. A sort is what this costs; it runs eager.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "ternary_l2",
  doc = "ternary weights with the least squared error of each row, per-token absmax int8 activations",
  levels = {-1, 0, 1},
}

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local largest = w:abs():sort{dim = 1, descending = true}  -- (N, K); sort's places are not needed
  local sums, k = largest:cumsum(1), torch.arange(1, w:size(1) + 1)
  local best = (sums:square() / k):argmax{dim = 1, keepdim = true}  -- (N, 1): place of the best k
  local scale = (sums / k):gather(1, best):clamp{min = 1e-5}
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
