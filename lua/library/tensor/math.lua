---@meta
-- Functions, element by element; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---absolute value
---@return Tensor
---@nodiscard
function Tensor:abs() end

----1, 0 or 1
---@return Tensor
---@nodiscard
function Tensor:sign() end

---the same as sign
---@return Tensor
---@nodiscard
function Tensor:sgn() end

---to the nearest whole number, halves to even; no gradient: see bitloop.ste_round
---@param decimals? integer default 0
---@return Tensor
---@overload fun(self: Tensor, named: {decimals?: integer}): Tensor
---@nodiscard
function Tensor:round(decimals) end

---rounded down
---@return Tensor
---@nodiscard
function Tensor:floor() end

---rounded up
---@return Tensor
---@nodiscard
function Tensor:ceil() end

---rounded towards 0
---@return Tensor
---@nodiscard
function Tensor:trunc() end

---x - trunc(x)
---@return Tensor
---@nodiscard
function Tensor:frac() end

---x * x
---@return Tensor
---@nodiscard
function Tensor:square() end

---square root
---@return Tensor
---@nodiscard
function Tensor:sqrt() end

---1 / sqrt(x)
---@return Tensor
---@nodiscard
function Tensor:rsqrt() end

---e to the power of x
---@return Tensor
---@nodiscard
function Tensor:exp() end

---2 to the power of x
---@return Tensor
---@nodiscard
function Tensor:exp2() end

---exp(x) - 1
---@return Tensor
---@nodiscard
function Tensor:expm1() end

---natural logarithm
---@return Tensor
---@nodiscard
function Tensor:log() end

---logarithm to base 2
---@return Tensor
---@nodiscard
function Tensor:log2() end

---logarithm to base 10
---@return Tensor
---@nodiscard
function Tensor:log10() end

---log(1 + x)
---@return Tensor
---@nodiscard
function Tensor:log1p() end

---sine
---@return Tensor
---@nodiscard
function Tensor:sin() end

---cosine
---@return Tensor
---@nodiscard
function Tensor:cos() end

---tangent
---@return Tensor
---@nodiscard
function Tensor:tan() end

---inverse tangent
---@return Tensor
---@nodiscard
function Tensor:atan() end

---hyperbolic sine
---@return Tensor
---@nodiscard
function Tensor:sinh() end

---hyperbolic cosine
---@return Tensor
---@nodiscard
function Tensor:cosh() end

---hyperbolic tangent
---@return Tensor
---@nodiscard
function Tensor:tanh() end

---1 / (1 + exp(-x))
---@return Tensor
---@nodiscard
function Tensor:sigmoid() end

---x where positive, else 0
---@return Tensor
---@nodiscard
function Tensor:relu() end

---x * sigmoid(x)
---@return Tensor
---@nodiscard
function Tensor:silu() end

---x times the normal distribution's share below x; or "tanh"
---@param approximate? string default "none"
---@return Tensor
---@overload fun(self: Tensor, named: {approximate?: string}): Tensor
---@nodiscard
function Tensor:gelu(approximate) end

---log(1 + exp(beta x)) / beta
---@param beta? number default 1
---@param threshold? number default 20
---@return Tensor
---@overload fun(self: Tensor, named: {beta?: number, threshold?: number}): Tensor
---@overload fun(self: Tensor, beta?: number, named: {threshold?: number}): Tensor
---@nodiscard
function Tensor:softplus(beta, threshold) end

---the error function
---@return Tensor
---@nodiscard
function Tensor:erf() end

---its inverse
---@return Tensor
---@nodiscard
function Tensor:erfinv() end

---numbers in place of NaN and infinities
---@param nan? number default 0
---@param posinf? number
---@param neginf? number
---@return Tensor
---@overload fun(self: Tensor, named: {nan?: number, posinf?: number, neginf?: number}): Tensor
---@overload fun(self: Tensor, nan?: number, named: {posinf?: number, neginf?: number}): Tensor
---@overload fun(self: Tensor, nan?: number, posinf?: number, named: {neginf?: number}): Tensor
---@nodiscard
function Tensor:nan_to_num(nan, posinf, neginf) end
