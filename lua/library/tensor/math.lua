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

---inverse sine
---@return Tensor
---@nodiscard
function Tensor:asin() end

---inverse cosine
---@return Tensor
---@nodiscard
function Tensor:acos() end

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

---inverse hyperbolic sine
---@return Tensor
---@nodiscard
function Tensor:asinh() end

---inverse hyperbolic cosine
---@return Tensor
---@nodiscard
function Tensor:acosh() end

---inverse hyperbolic tangent
---@return Tensor
---@nodiscard
function Tensor:atanh() end

---sin(pi x) / (pi x), 1 at 0
---@return Tensor
---@nodiscard
function Tensor:sinc() end

---1 / (1 + exp(-x))
---@return Tensor
---@nodiscard
function Tensor:sigmoid() end

---log(sigmoid(x))
---@return Tensor
---@nodiscard
function Tensor:logsigmoid() end

---log(x / (1 - x)); x is first limited to [eps, 1 - eps]
---@param eps? number
---@return Tensor
---@overload fun(self: Tensor, named: {eps?: number}): Tensor
---@nodiscard
function Tensor:logit(eps) end

---x where positive, else 0
---@return Tensor
---@nodiscard
function Tensor:relu() end

---x where positive, else negative_slope * x
---@param negative_slope? number default 0.01
---@return Tensor
---@overload fun(self: Tensor, named: {negative_slope?: number}): Tensor
---@nodiscard
function Tensor:leaky_relu(negative_slope) end

---x where positive, else alpha * (exp(x) - 1)
---@param alpha? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {alpha?: number}): Tensor
---@nodiscard
function Tensor:elu(alpha) end

---x where |x| > lambd, else 0
---@param lambd? number default 0.5
---@return Tensor
---@overload fun(self: Tensor, named: {lambd?: number}): Tensor
---@nodiscard
function Tensor:hardshrink(lambd) end

---x moved towards 0 by lambd, 0 where it would pass it
---@param lambd? number default 0.5
---@return Tensor
---@overload fun(self: Tensor, named: {lambd?: number}): Tensor
---@nodiscard
function Tensor:softshrink(lambd) end

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

---1 - erf(x)
---@return Tensor
---@nodiscard
function Tensor:erfc() end

---the inverse of erf
---@return Tensor
---@nodiscard
function Tensor:erfinv() end

---mantissa (0.5 to 1, with x's sign) and exponent of 2: x = mantissa * 2 ^ exponent
---@return Tensor mantissa
---@return Tensor exponent
---@nodiscard
function Tensor:frexp() end

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
