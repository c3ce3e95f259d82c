---@meta
-- What a quantizer file returns, and what its functions are given. Legend: N output features, K
-- input features, R rows (batch x tokens), G group.
--
-- Write `---@type bitloop.Quantizer` above `local Q = {`, and an editor knows the fields and the
-- arguments of each function.

---Where a layer stands in the model.
---@class bitloop.Layer
---@field name string the layer's name, "h.0.attn.c_attn"
---@field index integer place among the quantised layers, from 0
---@field count integer number of quantised layers
---@field kind "attn_qkv"|"attn_proj"|"mlp_fc"|"mlp_proj"|"head"
---@field in_features integer K
---@field out_features integer N

---The layer as `init` sees it.
---@class bitloop.InitLayer: bitloop.Layer
---@field weight Tensor (N, K), to read

---The layer as `after_step` sees it.
---@class bitloop.StepLayer: bitloop.Layer
---@field codes Tensor (N, K), the step's codes
---@field weight Tensor (N, K), the latent weight after the step

---What a call sees beside its tensor; read-only.
---@class bitloop.Context
---@field step integer the optimiser step, from 0
---@field total_steps integer steps of the whole run
---@field progress number step / total_steps, 0 to 1
---@field training boolean false in evaluation
---@field layer bitloop.Layer
---@field params table<string, Tensor> learnable, from `init`
---@field state table<string, Tensor> persistent, from `init`; replaced by what `after_step` returns

---What a quantising function may return in place of `codes, scale`. The value is
---`codes * scale + offset`, or `codebook[codes]`: never handed over itself.
---@class bitloop.Quantized
---@field codes Tensor the quantised tensor's shape; levels, or 0-based places in the codebook
---@field scale? Operand one number, (N, 1), (N, ceil(K / G)), or (ceil(N K / G), 1) with flat groups
---@field offset? Operand shaped like a scale
---@field codebook? Tensor (N, ceil(K / block), entries)
---@field surrogate? Tensor the quantised tensor's shape: its gradient stands in for the value's

---A learnable parameter as `init` returns it.
---@class bitloop.Parameter
---@field value Tensor
---@field lr_scale? number factor of the learning rate, default 1
---@field weight_decay? number default 0

---What `init` returns, each part optional.
---@class bitloop.Init
---@field params? table<string, bitloop.Parameter>
---@field state? table<string, Tensor>
---@field weight? Tensor (N, K), replaces the latent weight

---Learned levels: codes are 0-based places in a codebook for each run of `block` inputs.
---@class bitloop.Codebook
---@field entries integer 2 to 65536
---@field block integer inputs that share a codebook

---A Hadamard matrix on weights and activations; the block divides K.
---@class bitloop.Transform
---@field kind "hadamard"
---@field block integer a power of two from 2 to 4096

---Overrides of the recipe, within the task's bounds.
---@class bitloop.Config
---@field learning_rate? number
---@field min_lr? number
---@field weight_decay? number
---@field warmup_iters? integer
---@field beta1? number
---@field beta2? number
---@field grad_clip? number
---@field [string] any

---How a linear layer's weights and activations are quantised.
---@class bitloop.Quantizer
---@field name? string
---@field doc? string describes the row in the results
---@field levels? number[] the values a weight's code may take: distinct, finite
---@field bits? integer 1 to 16: short for the integers -2^(b-1) … 2^(b-1)-1
---@field codebook? bitloop.Codebook
---@field group? integer inputs of a row that share a scale
---@field flat_groups? boolean groups run over the flattened weight and may cross rows
---@field activation_bits? 4|8|16 default 8
---@field scale_dtype? "float16"|"float32" scales are rounded to it and counted at its width
---@field blend? "weight"|"output" what `lambda` mixes
---@field requantize_every? integer keep codes for this many steps
---@field transform? bitloop.Transform
---@field config? bitloop.Config
---w is (N, K). Returns codes and scale, or a table.
---@field weight_quant? fun(w: Tensor, ctx: bitloop.Context): Tensor|bitloop.Quantized, Operand?
---x is (R, K). Returns codes and scale, or a table; a scale over all rows would leak the future.
---@field activation_quant? fun(x: Tensor, ctx: bitloop.Context): Tensor|bitloop.Quantized, Operand?
---Parameters, state and first weight of a layer.
---@field init? fun(layer: bitloop.InitLayer): bitloop.Init
---The new state: the names and shapes of `ctx.state`.
---@field after_step? fun(layer: bitloop.StepLayer, ctx: bitloop.Context): table<string, Tensor>
---The share of quantisation, 0 to 1; scores are always taken at 1.
---@field lambda? fun(ctx: bitloop.Context): Operand
---One number, added to the loss once a step; value is (N, K), detached.
---@field regularizer? fun(w: Tensor, value: Tensor, ctx: bitloop.Context): Operand
---One number a row of w, folded into the bias and counted as bits.
---@field row_bias? fun(w: Tensor, codes: Tensor, ctx: bitloop.Context): Tensor
---x (R, K), changed row by row before it is quantised.
---@field input? fun(x: Tensor, ctx: bitloop.Context): Tensor
