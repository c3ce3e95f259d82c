---@meta
-- Picking elements; written by `make manual`: do not edit

---one slice, its dimension dropped; x[i] is x:select(0, i)
---@param x Tensor
---@param dim integer
---@param index integer
---@return Tensor
---@nodiscard
function torch.select(x, dim, index) end

---the slices start … start + length - 1
---@param x Tensor
---@param dim integer
---@param start integer
---@param length integer
---@return Tensor
---@nodiscard
function torch.narrow(x, dim, start, length) end

---slices by a 1-d tensor of places
---@param x Tensor
---@param dim integer
---@param index Tensor
---@return Tensor
---@nodiscard
function torch.index_select(x, dim, index) end

---elements by a tensor of places along dim
---@param x Tensor
---@param dim integer
---@param index Tensor
---@return Tensor
---@nodiscard
function torch.gather(x, dim, index) end

---like gather, broadcasting
---@param x Tensor
---@param indices Tensor
---@param dim? integer
---@return Tensor
---@overload fun(named: {x: Tensor, indices: Tensor, dim?: integer}): Tensor
---@overload fun(x: Tensor, named: {indices: Tensor, dim?: integer}): Tensor
---@overload fun(x: Tensor, indices: Tensor, named: {dim?: integer}): Tensor
---@nodiscard
function torch.take_along_dim(x, indices, dim) end

---where values would go in a sorted tensor
---@param sorted_sequence Tensor
---@param values Operand
---@param right? boolean default false
---@return Tensor places
---@overload fun(named: {sorted_sequence: Tensor, values: Operand, right?: boolean}): Tensor
---@overload fun(sorted_sequence: Tensor, named: {values: Operand, right?: boolean}): Tensor
---@overload fun(sorted_sequence: Tensor, values: Operand, named: {right?: boolean}): Tensor
---@nodiscard
function torch.searchsorted(sorted_sequence, values, right) end

---a new last dimension, 1 at place x and 0 elsewhere, float32
---@param x Tensor
---@param num_classes integer
---@return Tensor
---@nodiscard
function torch.one_hot(x, num_classes) end
