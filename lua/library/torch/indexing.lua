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

---elements by their place in x flattened
---@param x Tensor
---@param index Tensor
---@return Tensor
---@nodiscard
function torch.take(x, index) end

---value where the mask holds (is not 0), else x
---@param x Tensor
---@param mask Tensor
---@param value Operand
---@return Tensor
---@nodiscard
function torch.masked_fill(x, mask, value) end

---x with src put at a tensor of places along dim: the inverse of gather
---@param x Tensor
---@param dim integer
---@param index Tensor
---@param src Operand
---@return Tensor
---@nodiscard
function torch.scatter(x, dim, index, src) end

---x with src added at a tensor of places along dim
---@param x Tensor
---@param dim integer
---@param index Tensor
---@param src Tensor
---@return Tensor
---@nodiscard
function torch.scatter_add(x, dim, index, src) end

---x with slices of alpha * source added at a 1-d tensor of places along dim
---@param x Tensor
---@param dim integer
---@param index Tensor
---@param source Tensor
---@param alpha? number default 1
---@return Tensor
---@overload fun(named: {x: Tensor, dim: integer, index: Tensor, source: Tensor, alpha?: number}): Tensor
---@overload fun(x: Tensor, named: {dim: integer, index: Tensor, source: Tensor, alpha?: number}): Tensor
---@overload fun(x: Tensor, dim: integer, named: {index: Tensor, source: Tensor, alpha?: number}): Tensor
---@overload fun(x: Tensor, dim: integer, index: Tensor, named: {source: Tensor, alpha?: number}): Tensor
---@overload fun(x: Tensor, dim: integer, index: Tensor, source: Tensor, named: {alpha?: number}): Tensor
---@nodiscard
function torch.index_add(x, dim, index, source, alpha) end

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

---which of the intervals between sorted boundaries holds x
---@param x Operand
---@param boundaries Tensor
---@param right? boolean default false
---@return Tensor places
---@overload fun(named: {x: Operand, boundaries: Tensor, right?: boolean}): Tensor
---@overload fun(x: Operand, named: {boundaries: Tensor, right?: boolean}): Tensor
---@overload fun(x: Operand, boundaries: Tensor, named: {right?: boolean}): Tensor
---@nodiscard
function torch.bucketize(x, boundaries, right) end

---a new last dimension, 1 at place x and 0 elsewhere, float32
---@param x Tensor
---@param num_classes integer
---@return Tensor
---@nodiscard
function torch.one_hot(x, num_classes) end
