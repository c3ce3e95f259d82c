---@meta
-- Picking elements; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---one slice, its dimension dropped; x[i] is x:select(0, i)
---@param dim integer
---@param index integer
---@return Tensor
---@nodiscard
function Tensor:select(dim, index) end

---the slices start … start + length - 1
---@param dim integer
---@param start integer
---@param length integer
---@return Tensor
---@nodiscard
function Tensor:narrow(dim, start, length) end

---slices by a 1-d tensor of places
---@param dim integer
---@param index Tensor
---@return Tensor
---@nodiscard
function Tensor:index_select(dim, index) end

---elements by a tensor of places along dim
---@param dim integer
---@param index Tensor
---@return Tensor
---@nodiscard
function Tensor:gather(dim, index) end

---like gather, broadcasting
---@param indices Tensor
---@param dim? integer
---@return Tensor
---@overload fun(self: Tensor, named: {indices: Tensor, dim?: integer}): Tensor
---@overload fun(self: Tensor, indices: Tensor, named: {dim?: integer}): Tensor
---@nodiscard
function Tensor:take_along_dim(indices, dim) end

---elements by their place in x flattened
---@param index Tensor
---@return Tensor
---@nodiscard
function Tensor:take(index) end

---value where the mask holds (is not 0), else x
---@param mask Tensor
---@param value Operand
---@return Tensor
---@nodiscard
function Tensor:masked_fill(mask, value) end

---x with src put at a tensor of places along dim: the inverse of gather
---@param dim integer
---@param index Tensor
---@param src Operand
---@return Tensor
---@nodiscard
function Tensor:scatter(dim, index, src) end

---x with src added at a tensor of places along dim
---@param dim integer
---@param index Tensor
---@param src Tensor
---@return Tensor
---@nodiscard
function Tensor:scatter_add(dim, index, src) end

---x with slices of alpha * source added at a 1-d tensor of places along dim
---@param dim integer
---@param index Tensor
---@param source Tensor
---@param alpha? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {dim: integer, index: Tensor, source: Tensor, alpha?: number}): Tensor
---@overload fun(self: Tensor, dim: integer, named: {index: Tensor, source: Tensor, alpha?: number}): Tensor
---@overload fun(self: Tensor, dim: integer, index: Tensor, named: {source: Tensor, alpha?: number}): Tensor
---@overload fun(self: Tensor, dim: integer, index: Tensor, source: Tensor, named: {alpha?: number}): Tensor
---@nodiscard
function Tensor:index_add(dim, index, source, alpha) end

---where values would go in a sorted tensor
---@param values Operand
---@param right? boolean default false
---@return Tensor places
---@overload fun(self: Tensor, named: {values: Operand, right?: boolean}): Tensor
---@overload fun(self: Tensor, values: Operand, named: {right?: boolean}): Tensor
---@nodiscard
function Tensor:searchsorted(values, right) end

---which of the intervals between sorted boundaries holds x
---@param boundaries Tensor
---@param right? boolean default false
---@return Tensor places
---@overload fun(self: Tensor, named: {boundaries: Tensor, right?: boolean}): Tensor
---@overload fun(self: Tensor, boundaries: Tensor, named: {right?: boolean}): Tensor
---@nodiscard
function Tensor:bucketize(boundaries, right) end

---a new last dimension, 1 at place x and 0 elsewhere, float32
---@param num_classes integer
---@return Tensor
---@nodiscard
function Tensor:one_hot(num_classes) end
