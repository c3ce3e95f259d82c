---@meta
-- Functions, element by element; written by `make manual`: do not edit

---absolute value
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.abs(x) end

----1, 0 or 1
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sign(x) end

---the same as sign
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sgn(x) end

---to the nearest whole number, halves to even; no gradient: see bitloop.ste_round
---@param x Tensor
---@param decimals? integer default 0
---@return Tensor
---@overload fun(named: {x: Tensor, decimals?: integer}): Tensor
---@overload fun(x: Tensor, named: {decimals?: integer}): Tensor
---@nodiscard
function torch.round(x, decimals) end

---rounded down
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.floor(x) end

---rounded up
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.ceil(x) end

---rounded towards 0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.trunc(x) end

---x - trunc(x)
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.frac(x) end

---x * x
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.square(x) end

---square root
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sqrt(x) end

---1 / sqrt(x)
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.rsqrt(x) end

---e to the power of x
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.exp(x) end

---2 to the power of x
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.exp2(x) end

---exp(x) - 1
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.expm1(x) end

---natural logarithm
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.log(x) end

---logarithm to base 2
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.log2(x) end

---logarithm to base 10
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.log10(x) end

---log(1 + x)
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.log1p(x) end

---sine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sin(x) end

---cosine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.cos(x) end

---tangent
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.tan(x) end

---inverse sine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.asin(x) end

---inverse cosine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.acos(x) end

---inverse tangent
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.atan(x) end

---hyperbolic sine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sinh(x) end

---hyperbolic cosine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.cosh(x) end

---hyperbolic tangent
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.tanh(x) end

---inverse hyperbolic sine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.asinh(x) end

---inverse hyperbolic cosine
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.acosh(x) end

---inverse hyperbolic tangent
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.atanh(x) end

---sin(pi x) / (pi x), 1 at 0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sinc(x) end

---1 / (1 + exp(-x))
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.sigmoid(x) end

---log(sigmoid(x))
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.logsigmoid(x) end

---log(x / (1 - x)); x is first limited to [eps, 1 - eps]
---@param x Tensor
---@param eps? number
---@return Tensor
---@overload fun(named: {x: Tensor, eps?: number}): Tensor
---@overload fun(x: Tensor, named: {eps?: number}): Tensor
---@nodiscard
function torch.logit(x, eps) end

---x where positive, else 0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.relu(x) end

---x where positive, else negative_slope * x
---@param x Tensor
---@param negative_slope? number default 0.01
---@return Tensor
---@overload fun(named: {x: Tensor, negative_slope?: number}): Tensor
---@overload fun(x: Tensor, named: {negative_slope?: number}): Tensor
---@nodiscard
function torch.leaky_relu(x, negative_slope) end

---x where positive, else alpha * (exp(x) - 1)
---@param x Tensor
---@param alpha? number default 1
---@return Tensor
---@overload fun(named: {x: Tensor, alpha?: number}): Tensor
---@overload fun(x: Tensor, named: {alpha?: number}): Tensor
---@nodiscard
function torch.elu(x, alpha) end

---x where |x| > lambd, else 0
---@param x Tensor
---@param lambd? number default 0.5
---@return Tensor
---@overload fun(named: {x: Tensor, lambd?: number}): Tensor
---@overload fun(x: Tensor, named: {lambd?: number}): Tensor
---@nodiscard
function torch.hardshrink(x, lambd) end

---x moved towards 0 by lambd, 0 where it would pass it
---@param x Tensor
---@param lambd? number default 0.5
---@return Tensor
---@overload fun(named: {x: Tensor, lambd?: number}): Tensor
---@overload fun(x: Tensor, named: {lambd?: number}): Tensor
---@nodiscard
function torch.softshrink(x, lambd) end

---x * sigmoid(x)
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.silu(x) end

---x times the normal distribution's share below x; or "tanh"
---@param x Tensor
---@param approximate? string default "none"
---@return Tensor
---@overload fun(named: {x: Tensor, approximate?: string}): Tensor
---@overload fun(x: Tensor, named: {approximate?: string}): Tensor
---@nodiscard
function torch.gelu(x, approximate) end

---log(1 + exp(beta x)) / beta
---@param x Tensor
---@param beta? number default 1
---@param threshold? number default 20
---@return Tensor
---@overload fun(named: {x: Tensor, beta?: number, threshold?: number}): Tensor
---@overload fun(x: Tensor, named: {beta?: number, threshold?: number}): Tensor
---@overload fun(x: Tensor, beta?: number, named: {threshold?: number}): Tensor
---@nodiscard
function torch.softplus(x, beta, threshold) end

---the error function
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.erf(x) end

---1 - erf(x)
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.erfc(x) end

---the inverse of erf
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.erfinv(x) end

---mantissa (0.5 to 1, with x's sign) and exponent of 2: x = mantissa * 2 ^ exponent
---@param x Tensor
---@return Tensor mantissa
---@return Tensor exponent
---@nodiscard
function torch.frexp(x) end

---numbers in place of NaN and infinities
---@param x Tensor
---@param nan? number default 0
---@param posinf? number
---@param neginf? number
---@return Tensor
---@overload fun(named: {x: Tensor, nan?: number, posinf?: number, neginf?: number}): Tensor
---@overload fun(x: Tensor, named: {nan?: number, posinf?: number, neginf?: number}): Tensor
---@overload fun(x: Tensor, nan?: number, named: {posinf?: number, neginf?: number}): Tensor
---@overload fun(x: Tensor, nan?: number, posinf?: number, named: {neginf?: number}): Tensor
---@nodiscard
function torch.nan_to_num(x, nan, posinf, neginf) end
