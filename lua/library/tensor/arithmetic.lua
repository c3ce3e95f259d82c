---@meta
-- Arithmetic; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---x + alpha * other; also x + other
---@param other Operand
---@param alpha? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {other: Operand, alpha?: number}): Tensor
---@overload fun(self: Tensor, other: Operand, named: {alpha?: number}): Tensor
---@nodiscard
function Tensor:add(other, alpha) end

---x - alpha * other; also x - other
---@param other Operand
---@param alpha? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {other: Operand, alpha?: number}): Tensor
---@overload fun(self: Tensor, other: Operand, named: {alpha?: number}): Tensor
---@nodiscard
function Tensor:sub(other, alpha) end

---x * other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:mul(other) end

---x / other; rounding_mode "floor" or "trunc"
---@param other Operand
---@param rounding_mode? string
---@return Tensor
---@overload fun(self: Tensor, named: {other: Operand, rounding_mode?: string}): Tensor
---@overload fun(self: Tensor, other: Operand, named: {rounding_mode?: string}): Tensor
---@nodiscard
function Tensor:div(other, rounding_mode) end

---the quotient rounded down; also x // other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:floor_divide(other) end

---the remainder with other's sign; also x % other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:remainder(other) end

---the remainder with x's sign
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:fmod(other) end

---x to the power of a number or tensor; also x ^ exponent
---@param exponent Operand
---@return Tensor
---@nodiscard
function Tensor:pow(exponent) end

----x
---@return Tensor
---@nodiscard
function Tensor:neg() end

---1 / x
---@return Tensor
---@nodiscard
function Tensor:reciprocal() end

---the larger of two, element by element
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:maximum(other) end

---the smaller of two, element by element
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:minimum(other) end

---the larger of two, or the one that is a number
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:fmax(other) end

---the smaller of two, or the one that is a number
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:fmin(other) end

---x limited to [min, max]; bounds may be tensors
---@param min? Operand
---@param max? Operand
---@return Tensor
---@overload fun(self: Tensor, named: {min?: Operand, max?: Operand}): Tensor
---@overload fun(self: Tensor, min?: Operand, named: {max?: Operand}): Tensor
---@nodiscard
function Tensor:clamp(min, max) end

---x, at least min
---@param min Operand
---@return Tensor
---@nodiscard
function Tensor:clamp_min(min) end

---x, at most max
---@param max Operand
---@return Tensor
---@nodiscard
function Tensor:clamp_max(max) end

---x where the condition holds (is not 0), else y
---@param x Operand
---@param y Operand
---@return Tensor
---@nodiscard
function Tensor:where(x, y) end

---x + weight * (end - x)
---@param end_ Tensor
---@param weight Operand
---@return Tensor
---@nodiscard
function Tensor:lerp(end_, weight) end

---the angle of the point (other, x)
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:atan2(other) end

---sqrt(x^2 + other^2)
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:hypot(other) end

---x with other's sign
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:copysign(other) end

---0 below 0, 1 above, values at 0
---@param values Operand
---@return Tensor
---@nodiscard
function Tensor:heaviside(values) end

---x * log(other), 0 where x is 0
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:xlogy(other) end

---log(exp(x) + exp(other))
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:logaddexp(other) end

---x * 2 ^ other
---@param other Operand
---@return Tensor
---@nodiscard
function Tensor:ldexp(other) end

---x + value * a * b
---@param a Tensor
---@param b Tensor
---@param value? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {a: Tensor, b: Tensor, value?: number}): Tensor
---@overload fun(self: Tensor, a: Tensor, named: {b: Tensor, value?: number}): Tensor
---@overload fun(self: Tensor, a: Tensor, b: Tensor, named: {value?: number}): Tensor
---@nodiscard
function Tensor:addcmul(a, b, value) end

---x + value * a / b
---@param a Tensor
---@param b Tensor
---@param value? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {a: Tensor, b: Tensor, value?: number}): Tensor
---@overload fun(self: Tensor, a: Tensor, named: {b: Tensor, value?: number}): Tensor
---@overload fun(self: Tensor, a: Tensor, b: Tensor, named: {value?: number}): Tensor
---@nodiscard
function Tensor:addcdiv(a, b, value) end
