---@meta
-- New tensors; written by `make manual`: do not edit

---all 0, float32
---@param ... Dims size
---@return Tensor
---@nodiscard
function torch.zeros(...) end

---all 1
---@param ... Dims size
---@return Tensor
---@nodiscard
function torch.ones(...) end

---all the same; size is a list
---@param size Dims
---@param fill_value number
---@return Tensor
---@nodiscard
function torch.full(size, fill_value) end

---all 0, in x's shape
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.zeros_like(x) end

---all 1, in x's shape
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.ones_like(x) end

---all the same, in x's shape
---@param x Tensor
---@param fill_value number
---@return Tensor
---@nodiscard
function torch.full_like(x, fill_value) end

---from a number or a (nested) list of numbers
---@param data number|table
---@return Tensor
---@nodiscard
function torch.tensor(data) end

---start, start + step, … below stop; arange(n) counts from 0
---@param start number
---@param stop? number
---@param step? number default 1
---@return Tensor
---@overload fun(named: {start: number, stop?: number, step?: number}): Tensor
---@overload fun(start: number, named: {stop?: number, step?: number}): Tensor
---@overload fun(start: number, stop?: number, named: {step?: number}): Tensor
---@nodiscard
function torch.arange(start, stop, step) end

---steps numbers from start to stop, both included
---@param start number
---@param stop number
---@param steps integer
---@return Tensor
---@nodiscard
function torch.linspace(start, stop, steps) end

---the identity matrix
---@param n integer
---@param m? integer
---@return Tensor
---@overload fun(named: {n: integer, m?: integer}): Tensor
---@overload fun(n: integer, named: {m?: integer}): Tensor
---@nodiscard
function torch.eye(n, m) end
