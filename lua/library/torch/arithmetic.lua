---@meta
-- Arithmetic; written by `make manual`: do not edit

---x + alpha * other; also x + other
---@param x Operand
---@param other Operand
---@param alpha? number default 1
---@return Tensor
---@overload fun(named: {x: Operand, other: Operand, alpha?: number}): Tensor
---@overload fun(x: Operand, named: {other: Operand, alpha?: number}): Tensor
---@overload fun(x: Operand, other: Operand, named: {alpha?: number}): Tensor
---@nodiscard
function torch.add(x, other, alpha) end

---x - alpha * other; also x - other
---@param x Operand
---@param other Operand
---@param alpha? number default 1
---@return Tensor
---@overload fun(named: {x: Operand, other: Operand, alpha?: number}): Tensor
---@overload fun(x: Operand, named: {other: Operand, alpha?: number}): Tensor
---@overload fun(x: Operand, other: Operand, named: {alpha?: number}): Tensor
---@nodiscard
function torch.sub(x, other, alpha) end

---x * other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.mul(x, other) end

---x / other; rounding_mode "floor" or "trunc"
---@param x Operand
---@param other Operand
---@param rounding_mode? string
---@return Tensor
---@overload fun(named: {x: Operand, other: Operand, rounding_mode?: string}): Tensor
---@overload fun(x: Operand, named: {other: Operand, rounding_mode?: string}): Tensor
---@overload fun(x: Operand, other: Operand, named: {rounding_mode?: string}): Tensor
---@nodiscard
function torch.div(x, other, rounding_mode) end

---the quotient rounded down; also x // other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.floor_divide(x, other) end

---the remainder with other's sign; also x % other
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.remainder(x, other) end

---the remainder with x's sign
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.fmod(x, other) end

---x to the power of a number or tensor; also x ^ exponent
---@param x Operand
---@param exponent Operand
---@return Tensor
---@nodiscard
function torch.pow(x, exponent) end

----x
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.neg(x) end

---1 / x
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.reciprocal(x) end

---the larger of two, element by element
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.maximum(x, other) end

---the smaller of two, element by element
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.minimum(x, other) end

---the larger of two, or the one that is a number
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.fmax(x, other) end

---the smaller of two, or the one that is a number
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.fmin(x, other) end

---x limited to [min, max]; bounds may be tensors
---@param x Tensor
---@param min? Operand
---@param max? Operand
---@return Tensor
---@overload fun(named: {x: Tensor, min?: Operand, max?: Operand}): Tensor
---@overload fun(x: Tensor, named: {min?: Operand, max?: Operand}): Tensor
---@overload fun(x: Tensor, min?: Operand, named: {max?: Operand}): Tensor
---@nodiscard
function torch.clamp(x, min, max) end

---x, at least min
---@param x Tensor
---@param min Operand
---@return Tensor
---@nodiscard
function torch.clamp_min(x, min) end

---x, at most max
---@param x Tensor
---@param max Operand
---@return Tensor
---@nodiscard
function torch.clamp_max(x, max) end

---x where the condition holds (is not 0), else y
---@param condition Tensor
---@param x Operand
---@param y Operand
---@return Tensor
---@nodiscard
function torch.where(condition, x, y) end

---x + weight * (end - x)
---@param x Tensor
---@param end_ Tensor
---@param weight Operand
---@return Tensor
---@nodiscard
function torch.lerp(x, end_, weight) end

---the angle of the point (other, x)
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.atan2(x, other) end

---sqrt(x^2 + other^2)
---@param x Tensor
---@param other Operand
---@return Tensor
---@nodiscard
function torch.hypot(x, other) end

---x with other's sign
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.copysign(x, other) end

---0 below 0, 1 above, values at 0
---@param x Tensor
---@param values Operand
---@return Tensor
---@nodiscard
function torch.heaviside(x, values) end

---x * log(other), 0 where x is 0
---@param x Operand
---@param other Operand
---@return Tensor
---@nodiscard
function torch.xlogy(x, other) end

---log(exp(x) + exp(other))
---@param x Tensor
---@param other Operand
---@return Tensor
---@nodiscard
function torch.logaddexp(x, other) end

---x * 2 ^ other
---@param x Tensor
---@param other Operand
---@return Tensor
---@nodiscard
function torch.ldexp(x, other) end

---x + value * a * b
---@param x Tensor
---@param a Tensor
---@param b Tensor
---@param value? number default 1
---@return Tensor
---@overload fun(named: {x: Tensor, a: Tensor, b: Tensor, value?: number}): Tensor
---@overload fun(x: Tensor, named: {a: Tensor, b: Tensor, value?: number}): Tensor
---@overload fun(x: Tensor, a: Tensor, named: {b: Tensor, value?: number}): Tensor
---@overload fun(x: Tensor, a: Tensor, b: Tensor, named: {value?: number}): Tensor
---@nodiscard
function torch.addcmul(x, a, b, value) end

---x + value * a / b
---@param x Tensor
---@param a Tensor
---@param b Tensor
---@param value? number default 1
---@return Tensor
---@overload fun(named: {x: Tensor, a: Tensor, b: Tensor, value?: number}): Tensor
---@overload fun(x: Tensor, named: {a: Tensor, b: Tensor, value?: number}): Tensor
---@overload fun(x: Tensor, a: Tensor, named: {b: Tensor, value?: number}): Tensor
---@overload fun(x: Tensor, a: Tensor, b: Tensor, named: {value?: number}): Tensor
---@nodiscard
function torch.addcdiv(x, a, b, value) end
