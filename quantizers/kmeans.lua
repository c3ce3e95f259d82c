-- K-means: the best 8 values for each block of weights, found anew from the weights alone.
--
-- Paper:           "Least Squares Quantization in PCM" (Lloyd, 1957; 1982).
-- Weights:         blocks of 128 inputs of a row; 20 rounds of Lloyd's algorithm from the block's quantiles: each weight to
--                  the nearest of 8 values, each value to the mean of its weights; codes = the nearest value.
-- Levels:          8 values a block. Granularity: one codebook for 128 weights.
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(8) = 3, plus 128 / 128 for the codebook: 8 values of 16 bits.
-- Gradient:        straight through.
--
-- What a codebook can do without any training: the baseline of nativebit.lua, whose codes and codebooks have the same
-- size (bitloop quantize, docs/nativebit.md). It can be trained with, too; codes and codebooks are then kept for 10 steps.

-- BEGIN EDITABLE quantizer
local ENTRIES, BLOCK = 8, 128  -- any number of values from 2 to 256
local Q = {
  name = "kmeans",
  doc = "8 values for each block of 128 weights by Lloyd's algorithm (k-means)",
  codebook = {entries = ENTRIES, block = BLOCK},
  requantize_every = 10,
}
local ROUNDS = 20

-- ENTRIES quantiles of the last dimension, between neighbours by their distance: (…, n) to (…, ENTRIES).
local function quantiles(values)
  local n = values:size(-1)
  local place = (torch.arange(ENTRIES) + 0.5) * (n / ENTRIES) - 0.5
  place = place:clamp{min = 0, max = n - 1}
  local low = place:floor()
  local sorted = values:sort()
  local below = sorted:index_select(values:dim() - 1, low:int())
  local above = sorted:index_select(values:dim() - 1, (low + 1):clamp{max = n - 1}:int())
  return below + (above - below) * (place - low)
end

local function nearest(blocks, codebook)
  local edges = (codebook:narrow(-1, 0, ENTRIES - 1) + codebook:narrow(-1, 1, ENTRIES - 1)) / 2
  return edges:contiguous():searchsorted(blocks:contiguous())
end

-- blocks (N, n, size) of weights to their codes, in the same shape, and codebooks (N, n, ENTRIES).
local function lloyd(blocks)
  local codebook = quantiles(blocks)
  local ones, none = torch.ones_like(blocks), torch.zeros_like(codebook)
  for _ = 1, ROUNDS do
    local codes = nearest(blocks, codebook)
    local count = none:scatter_add(2, codes, ones)
    local mean = none:scatter_add(2, codes, blocks) / count:clamp{min = 1}
    codebook = torch.where(count:gt(0), mean, codebook):sort()
  end
  return nearest(blocks, codebook):float(), codebook
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  w = w:detach()
  local n, k = table.unpack(w:shape())
  local full = k // BLOCK * BLOCK
  local codes, books = {}, {}
  local function take(first, size, count)
    local made, book = lloyd(w:narrow(1, first, size * count):reshape(n, count, size))
    table.insert(codes, made:reshape(n, size * count))
    table.insert(books, book)
  end
  if full > 0 then take(0, BLOCK, full // BLOCK) end
  if k > full then take(full, k - full, 1) end  -- a row's last block may be short
  return {codes = torch.cat(codes, 1), codebook = torch.cat(books, 1)}
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
