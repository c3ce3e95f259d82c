---@meta
-- Comparisons (results are bool; in arithmetic they count as 0 and 1); written by `make manual`: do not edit

---x == other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.eq(x, other) end

---x ~= other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.ne(x, other) end

---x < other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.lt(x, other) end

---x <= other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.le(x, other) end

---x > other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.gt(x, other) end

---x >= other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.ge(x, other) end

---both hold (are not 0)
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.logical_and(x, other) end

---at least one holds
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.logical_or(x, other) end

---exactly one holds
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.logical_xor(x, other) end

---x is 0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.logical_not(x) end

---x is not a number
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.isnan(x) end

---x is infinite
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.isinf(x) end

---x is neither
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.isfinite(x) end

---x is negative, or -0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.signbit(x) end

---|x - other| <= atol + rtol |other|
---@param x Tensor
---@param other Tensor
---@param rtol? number default 1e-05
---@param atol? number default 1e-08
---@return Tensor
---@overload fun(named: {x: Tensor, other: Tensor, rtol?: number, atol?: number}): Tensor
---@overload fun(x: Tensor, named: {other: Tensor, rtol?: number, atol?: number}): Tensor
---@overload fun(x: Tensor, other: Tensor, named: {rtol?: number, atol?: number}): Tensor
---@overload fun(x: Tensor, other: Tensor, rtol?: number, named: {atol?: number}): Tensor
---@nodiscard
function torch.isclose(x, other, rtol, atol) end

---x is one of the test elements
---@param x Tensor
---@param test_elements Tensor
---@return Tensor
---@nodiscard
function torch.isin(x, test_elements) end

---true or false: same shape, same values
---@param x Tensor
---@param other Tensor
---@return boolean same
---@nodiscard
function torch.equal(x, other) end

---true or false: |x - other| <= atol + rtol |other| everywhere
---@param x Tensor
---@param other Tensor
---@param rtol? number default 1e-05
---@param atol? number default 1e-08
---@return boolean close
---@overload fun(named: {x: Tensor, other: Tensor, rtol?: number, atol?: number}): boolean
---@overload fun(x: Tensor, named: {other: Tensor, rtol?: number, atol?: number}): boolean
---@overload fun(x: Tensor, other: Tensor, named: {rtol?: number, atol?: number}): boolean
---@overload fun(x: Tensor, other: Tensor, rtol?: number, named: {atol?: number}): boolean
---@nodiscard
function torch.allclose(x, other, rtol, atol) end
