---@meta
-- What PyTorch has not: the table bitloop; written by `make manual`: do not edit

---rounds to the nearest whole number, halves to even; the gradient passes unchanged
---@param x Tensor
---@return Tensor
---@nodiscard
function bitloop.ste_round(x) end

---a function with a gradient of its own: bitloop.autograd{forward = f, backward = g}; f(x, …) returns one Tensor, g(grad, x, …) returns one gradient (or nil) for each argument of f
---@param forward fun(...: any): Tensor
---@param backward fun(gradient: Tensor, ...: any): Tensor?, Tensor?, Tensor?
---@return fun(...: any): Tensor differentiable
---@overload fun(named: {forward: fun(...: any): Tensor, backward: fun(gradient: Tensor, ...: any): Tensor?, Tensor?, Tensor?}): fun(...: any): Tensor
---@nodiscard
function bitloop.autograd(forward, backward) end

---each run of block inputs along the last dimension times the orthogonal Hadamard matrix
---@param x Tensor
---@param block integer
---@return Tensor
---@nodiscard
function bitloop.hadamard(x, block) end

---(…, K) as (…, ceil(K / group), group), the tail padded with 0
---@param x Tensor
---@param group integer
---@return Tensor
---@nodiscard
function bitloop.blocks(x, group) end

---its inverse: (…, blocks, group) as (…, length)
---@param x Tensor
---@param length integer
---@return Tensor
---@nodiscard
function bitloop.unblocks(x, length) end
