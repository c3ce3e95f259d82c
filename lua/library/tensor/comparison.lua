---@meta
-- Comparisons (results are bool; in arithmetic they count as 0 and 1); written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---x == other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:eq(other) end

---x ~= other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:ne(other) end

---x < other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:lt(other) end

---x <= other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:le(other) end

---x > other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:gt(other) end

---x >= other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:ge(other) end

---both hold (are not 0)
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:logical_and(other) end

---at least one holds
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:logical_or(other) end

---exactly one holds
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:logical_xor(other) end

---x is 0
---@return Tensor
---@nodiscard
function Tensor:logical_not() end

---x is not a number
---@return Tensor
---@nodiscard
function Tensor:isnan() end

---x is infinite
---@return Tensor
---@nodiscard
function Tensor:isinf() end

---x is neither
---@return Tensor
---@nodiscard
function Tensor:isfinite() end

---x is negative, or -0
---@return Tensor
---@nodiscard
function Tensor:signbit() end

---|x - other| <= atol + rtol |other|
---@param other Tensor
---@param rtol? number default 1e-05
---@param atol? number default 1e-08
---@return Tensor
---@overload fun(self: Tensor, named: {other: Tensor, rtol?: number, atol?: number}): Tensor
---@overload fun(self: Tensor, other: Tensor, named: {rtol?: number, atol?: number}): Tensor
---@overload fun(self: Tensor, other: Tensor, rtol?: number, named: {atol?: number}): Tensor
---@nodiscard
function Tensor:isclose(other, rtol, atol) end

---x is one of the test elements
---@param test_elements Tensor
---@return Tensor
---@nodiscard
function Tensor:isin(test_elements) end

---true or false: same shape, same values
---@param other Tensor
---@return boolean same
---@nodiscard
function Tensor:equal(other) end

---true or false: |x - other| <= atol + rtol |other| everywhere
---@param other Tensor
---@param rtol? number default 1e-05
---@param atol? number default 1e-08
---@return boolean close
---@overload fun(self: Tensor, named: {other: Tensor, rtol?: number, atol?: number}): boolean
---@overload fun(self: Tensor, other: Tensor, named: {rtol?: number, atol?: number}): boolean
---@overload fun(self: Tensor, other: Tensor, rtol?: number, named: {atol?: number}): boolean
---@nodiscard
function Tensor:allclose(other, rtol, atol) end
