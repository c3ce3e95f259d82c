-- NativeBit: K learned values for each block of a row's weights, trained with the model.
--
-- Paper:           none of its own: NativeBit's recipe; codebooks by moving averages as in "Neural Discrete Representation
--                  Learning" (van den Oord et al., 2017), appendix A.
-- Weights:         blocks of 128 inputs of a row; codes = the nearest of the block's 8 values; value = the value itself.
-- Levels:          8 learned values a block. Granularity: one codebook for 128 weights.
-- Activations:     8 bits, one absmax scale a token.
-- Bits a weight:   log2(8) = 3, plus 128 / 128 for the codebook: 8 values of 16 bits.
-- Gradient:        straight through, and twice (W - value) / (N K) of the commitment loss.
--
-- A codebook begins as the quantiles of the float weights. Codes are kept for 10 steps; when they are made anew, the
-- entries' counts and sums follow by moving averages, count <- 0.99 count + 0.01 n and sum <- 0.99 sum + 0.01 (the sum of
-- the entry's weights), and an entry becomes sum / count. One that hardly a weight uses (a count near zero) stays where it
-- is. The commitment loss pulls weights to their values; it grows over the first 200 steps. Published settings: rate 1e-4
-- after 200 steps of warm-up, decay 0.01, 5,000 steps from a trained model: docs/nativebit.md.

-- BEGIN EDITABLE quantizer
local ENTRIES, BLOCK = 8, 128  -- any number of values from 2 to 256
local Q = {
  name = "nativebit",
  doc = "8 learned values for each block of 128 weights: moving averages, commitment loss (NativeBit)",
  codebook = {entries = ENTRIES, block = BLOCK},
  requantize_every = 10,
}
local AVERAGE = 0.99                           -- what the averages keep
local COMMITMENT_WEIGHT, COMMITMENT_WARMUP = 1.0, 200  -- of the loss, and steps until it has it
local ALIVE = 1e-3                             -- an entry with a smaller count keeps its value

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

-- Each block's quantiles: (N, blocks, ENTRIES). The last block of a row may be short.
local function first_codebook(w)
  local n, k = table.unpack(w:shape())
  local full, parts = k // BLOCK, {}
  if full > 0 then table.insert(parts, quantiles(w:narrow(1, 0, full * BLOCK):reshape(n, full, BLOCK))) end
  if k > full * BLOCK then
    table.insert(parts, quantiles(w:narrow(1, full * BLOCK, k - full * BLOCK):reshape(n, 1, k - full * BLOCK)))
  end
  return torch.cat(parts, 1)
end

-- Places of the nearest values in an ascending codebook, as whole numbers in blocks (N, blocks, BLOCK).
local function nearest(blocks, codebook)
  local edges = (codebook:narrow(-1, 0, ENTRIES - 1) + codebook:narrow(-1, 1, ENTRIES - 1)) / 2
  return edges:contiguous():searchsorted(blocks:contiguous())
end

-- How many of a block's weights have each code, and their sums. The padding of a row counts for nothing.
local function tally(w, codes)
  local blocks = bitloop.blocks(w, BLOCK)
  local ones = bitloop.blocks(torch.ones_like(w), BLOCK)
  local none = torch.zeros(w:size(0), blocks:size(1), ENTRIES)
  return none:scatter_add(2, codes, ones), none:scatter_add(2, codes, blocks)
end

function Q.init(layer)
  local codebook = first_codebook(layer.weight)
  local count = tally(layer.weight, nearest(bitloop.blocks(layer.weight, BLOCK), codebook))
  return {state = {codebook = codebook, count = count, sum = codebook * count}}
end

function Q.weight_quant(w, ctx)  -- w: latent weight (N, K), float32
  local codes = nearest(bitloop.blocks(w, BLOCK), ctx.state.codebook)
  return {codes = bitloop.unblocks(codes:float(), w:size(1)), codebook = ctx.state.codebook}
end

function Q.regularizer(w, value, ctx)
  return (w - value):square():mean() * (COMMITMENT_WEIGHT * math.min(1, (ctx.step + 1) / COMMITMENT_WARMUP))
end

function Q.after_step(layer, ctx)
  if ctx.step % Q.requantize_every ~= 0 then return ctx.state end
  local count, sum = tally(layer.weight, bitloop.blocks(layer.codes, BLOCK):int())
  count = ctx.state.count * AVERAGE + count * (1 - AVERAGE)
  sum = ctx.state.sum * AVERAGE + sum * (1 - AVERAGE)
  local moved = torch.where(count:gt(ALIVE), sum / count:clamp{min = ALIVE}, ctx.state.codebook)
  local codebook, order = moved:sort()  -- codes are places in an ascending codebook
  return {codebook = codebook, count = count:gather(2, order), sum = sum:gather(2, order)}
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
