// Elementwise operations: arithmetic, functions, comparisons.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

// A function of one tensor.
template <at::Tensor (*kFunction)(const at::Tensor&)>
int unary(Call& c) {
  return c.push(kFunction(c.numeric(0)));
}
// A function of two operands, each a tensor or a number.
template <at::Tensor (*kFunction)(const at::Tensor&, const at::Tensor&)>
int binary(Call& c) {
  return c.push(kFunction(c.operand(0), c.operand(1)));
}

int add(Call& c) { return c.push(at::add(c.operand(0), c.operand(1), c.scalar(2))); }
int sub(Call& c) { return c.push(at::sub(c.operand(0), c.operand(1), c.scalar(2))); }

// A number stays one: x:pow(2) is x * x to the last bit, as x ^ 2 is.
int pow(Call& c) {
  if (c.is_number(1) && c.is_tensor(0)) return c.push(at::pow(c.numeric(0), c.scalar(1)));
  if (c.is_number(0)) return c.push(at::pow(c.scalar(0), c.operand(1)));
  return c.push(at::pow(c.operand(0), c.operand(1)));
}

// LibTorch's own has no gradient where the exponent is a negative whole number. In two factors, so
// that neither overflows where the result doesn't.
int ldexp(Call& c) {
  const at::Tensor x = c.floats(0);
  if (c.is_number(1)) {
    const double half = std::trunc(c.number(1) / 2);
    return c.push(x * std::exp2(half) * std::exp2(c.number(1) - half));
  }
  const at::Tensor exponent = c.floats(1), half = at::trunc(exponent / 2);
  return c.push(x * at::exp2(half) * at::exp2(exponent - half));
}

int div(Call& c) {
  const std::optional<std::string_view> mode = c.optional_string(2);
  if (mode && *mode != "floor" && *mode != "trunc") {
    c.fail("rounding_mode must be \"floor\", \"trunc\" or nil");
  }
  return c.push(at::div(c.operand(0), c.operand(1), mode));
}

int clamp(Call& c) {
  if (!c.has(1) && !c.has(2)) c.fail("needs min, max or both");
  if (c.is_tensor(1) || c.is_tensor(2)) {
    at::Tensor value = c.numeric(0);
    if (c.has(1)) value = at::maximum(value, c.operand(1));
    if (c.has(2)) value = at::minimum(value, c.operand(2));
    return c.push(value);
  }
  return c.push(at::clamp(c.numeric(0), c.optional_scalar(1), c.optional_scalar(2)));
}
int clamp_min(Call& c) {
  return c.push(c.is_tensor(1) ? at::maximum(c.numeric(0), c.operand(1))
                               : at::clamp_min(c.numeric(0), c.scalar(1)));
}
int clamp_max(Call& c) {
  return c.push(c.is_tensor(1) ? at::minimum(c.numeric(0), c.operand(1))
                               : at::clamp_max(c.numeric(0), c.scalar(1)));
}

int round(Call& c) {
  const int64_t decimals = c.integer(1);
  return c.push(decimals == 0 ? at::round(c.numeric(0)) : at::round(c.floats(0), decimals));
}

int where(Call& c) {
  const at::Tensor condition = c.tensor(0).to(at::kBool);
  at::Tensor yes = c.operand(1), no = c.operand(2);
  // Two numbers give float32; one takes the type of the tensor beside it.
  if (c.is_number(1) && c.is_number(2)) yes = at::scalar_tensor(c.number(1), c.options());
  return c.push(at::where(condition, yes, no));
}

int lerp(Call& c) {
  return c.push(c.is_tensor(2) ? at::lerp(c.floats(0), c.floats(1), c.floats(2))
                               : at::lerp(c.floats(0), c.floats(1), c.scalar(2)));
}

int gelu(Call& c) {
  const std::string_view approximate = c.string(1);
  if (approximate != "none" && approximate != "tanh")
    c.fail("approximate must be \"none\" or \"tanh\"");
  return c.push(at::gelu(c.floats(0), approximate));
}

// A number beside a float32 tensor, where LibTorch insists on equal types.
at::Tensor like_first(Call& c, int i) {
  return c.is_number(i) ? at::scalar_tensor(c.number(i), c.options()) : c.floats(i);
}

int logit(Call& c) {
  return c.push(at::logit(c.floats(0), c.has(1) ? std::optional(c.number(1)) : std::nullopt));
}

// LibTorch's own is compiled at its first use on a GPU, which a jail does not let it.
int sinc(Call& c) {
  const at::Tensor x = c.numeric(0);
  if (x.is_cpu()) return c.push(at::sinc(x));
  const at::Tensor at_zero = x.eq(0), angle = at::masked_fill(c.floats(0), at_zero, 1) * M_PI;
  return c.push(at::masked_fill(at::sin(angle) / angle, at_zero, 1));
}

int frexp(Call& c) {
  const auto [mantissa, exponent] = at::frexp(c.floats(0));
  return c.push_all({mantissa, exponent.to(at::kLong)});
}

int nan_to_num(Call& c) {
  const auto number = [&](int i) { return c.has(i) ? std::optional(c.number(i)) : std::nullopt; };
  return c.push(at::nan_to_num(c.numeric(0), number(1), number(2), number(3)));
}

constexpr Operation kArithmetic[] = {
    {"add(x: Operand, other: Operand, alpha: number=1)", "x + alpha * other; also x + other", add},
    {"sub(x: Operand, other: Operand, alpha: number=1)", "x - alpha * other; also x - other", sub},
    {"mul(x: Operand, other: Operand)", "x * other", binary<at::mul>},
    {"div(x: Operand, other: Operand, rounding_mode: string=nil)",
     "x / other; rounding_mode \"floor\" or \"trunc\"", div},
    {"floor_divide(x: Operand, other: Operand)", "the quotient rounded down; also x // other",
     [](Call& c) { return c.push(at::div(c.operand(0), c.operand(1), "floor")); }},
    {"remainder(x: Operand, other: Operand)", "the remainder with other's sign; also x % other",
     binary<at::remainder>},
    {"fmod(x: Operand, other: Operand)", "the remainder with x's sign", binary<at::fmod>},
    {"pow(x: Operand, exponent: Operand)",
     "x to the power of a number or tensor; also x ^ exponent", pow},
    {"neg(x)", "-x", unary<at::neg>},
    {"reciprocal(x)", "1 / x", unary<at::reciprocal>},
    {"maximum(x: Operand, other: Operand)", "the larger of two, element by element",
     binary<at::maximum>},
    {"minimum(x: Operand, other: Operand)", "the smaller of two, element by element",
     binary<at::minimum>},
    {"fmax(x: Operand, other: Operand)", "the larger of two, or the one that is a number",
     binary<at::fmax>},
    {"fmin(x: Operand, other: Operand)", "the smaller of two, or the one that is a number",
     binary<at::fmin>},
    {"clamp(x, min: Operand=nil, max: Operand=nil)",
     "x limited to [min, max]; bounds may be tensors", clamp},
    {"clamp_min(x, min: Operand)", "x, at least min", clamp_min},
    {"clamp_max(x, max: Operand)", "x, at most max", clamp_max},
    {"where(condition, x: Operand, y: Operand)", "x where the condition holds (is not 0), else y",
     where},
    {"lerp(x, end, weight: Operand)", "x + weight * (end - x)", lerp},
    {"atan2(x: Operand, other: Operand)", "the angle of the point (other, x)", binary<at::atan2>},
    {"hypot(x, other: Operand)", "sqrt(x^2 + other^2)",
     [](Call& c) { return c.push(at::hypot(c.floats(0), like_first(c, 1))); }},
    {"copysign(x: Operand, other: Operand)", "x with other's sign", binary<at::copysign>},
    {"heaviside(x, values: Operand)", "0 below 0, 1 above, values at 0",
     [](Call& c) { return c.push(at::heaviside(c.floats(0), like_first(c, 1))); }},
    {"xlogy(x: Operand, other: Operand)", "x * log(other), 0 where x is 0", binary<at::xlogy>},
    {"logaddexp(x, other: Operand)", "log(exp(x) + exp(other))",
     [](Call& c) { return c.push(at::logaddexp(c.floats(0), like_first(c, 1))); }},
    {"ldexp(x, other: Operand)", "x * 2 ^ other", ldexp},
    {"addcmul(x, a, b, value: number=1)", "x + value * a * b",
     [](Call& c) {
       return c.push(at::addcmul(c.floats(0), c.floats(1), c.floats(2), c.scalar(3)));
     }},
    {"addcdiv(x, a, b, value: number=1)", "x + value * a / b",
     [](Call& c) {
       return c.push(at::addcdiv(c.floats(0), c.floats(1), c.floats(2), c.scalar(3)));
     }},
};

constexpr Operation kMath[] = {
    {"abs(x)", "absolute value", unary<at::abs>},
    {"sign(x)", "-1, 0 or 1", unary<at::sign>},
    {"sgn(x)", "the same as sign", unary<at::sgn>},
    {"round(x, decimals: integer=0)",
     "to the nearest whole number, halves to even; no gradient: see bitloop.ste_round", round},
    {"floor(x)", "rounded down", unary<at::floor>},
    {"ceil(x)", "rounded up", unary<at::ceil>},
    {"trunc(x)", "rounded towards 0", unary<at::trunc>},
    {"frac(x)", "x - trunc(x)", unary<at::frac>},
    {"square(x)", "x * x", unary<at::square>},
    {"sqrt(x)", "square root", unary<at::sqrt>},
    {"rsqrt(x)", "1 / sqrt(x)", unary<at::rsqrt>},
    {"exp(x)", "e to the power of x", unary<at::exp>},
    {"exp2(x)", "2 to the power of x", unary<at::exp2>},
    {"expm1(x)", "exp(x) - 1", unary<at::expm1>},
    {"log(x)", "natural logarithm", unary<at::log>},
    {"log2(x)", "logarithm to base 2", unary<at::log2>},
    {"log10(x)", "logarithm to base 10", unary<at::log10>},
    {"log1p(x)", "log(1 + x)", unary<at::log1p>},
    {"sin(x)", "sine", unary<at::sin>},
    {"cos(x)", "cosine", unary<at::cos>},
    {"tan(x)", "tangent", unary<at::tan>},
    {"asin(x)", "inverse sine", unary<at::asin>},
    {"acos(x)", "inverse cosine", unary<at::acos>},
    {"atan(x)", "inverse tangent", unary<at::atan>},
    {"sinh(x)", "hyperbolic sine", unary<at::sinh>},
    {"cosh(x)", "hyperbolic cosine", unary<at::cosh>},
    {"tanh(x)", "hyperbolic tangent", unary<at::tanh>},
    {"asinh(x)", "inverse hyperbolic sine", unary<at::asinh>},
    {"acosh(x)", "inverse hyperbolic cosine", unary<at::acosh>},
    {"atanh(x)", "inverse hyperbolic tangent", unary<at::atanh>},
    {"sinc(x)", "sin(pi x) / (pi x), 1 at 0", sinc},
    {"sigmoid(x)", "1 / (1 + exp(-x))", unary<at::sigmoid>},
    {"logsigmoid(x)", "log(sigmoid(x))",
     [](Call& c) { return c.push(at::log_sigmoid(c.floats(0))); }},
    {"logit(x, eps: number=nil)", "log(x / (1 - x)); x is first limited to [eps, 1 - eps]", logit},
    {"relu(x)", "x where positive, else 0", unary<at::relu>},
    {"leaky_relu(x, negative_slope: number=0.01)", "x where positive, else negative_slope * x",
     [](Call& c) { return c.push(at::leaky_relu(c.floats(0), c.scalar(1))); }},
    {"elu(x, alpha: number=1)", "x where positive, else alpha * (exp(x) - 1)",
     [](Call& c) { return c.push(at::elu(c.floats(0), c.scalar(1))); }},
    {"hardshrink(x, lambd: number=0.5)", "x where |x| > lambd, else 0",
     [](Call& c) { return c.push(at::hardshrink(c.floats(0), c.scalar(1))); }},
    {"softshrink(x, lambd: number=0.5)", "x moved towards 0 by lambd, 0 where it would pass it",
     [](Call& c) { return c.push(at::softshrink(c.floats(0), c.scalar(1))); }},
    {"silu(x)", "x * sigmoid(x)", unary<at::silu>},
    {"gelu(x, approximate: string=\"none\")",
     "x times the normal distribution's share below x; or \"tanh\"", gelu},
    {"softplus(x, beta: number=1, threshold: number=20)", "log(1 + exp(beta x)) / beta",
     [](Call& c) { return c.push(at::softplus(c.floats(0), c.scalar(1), c.scalar(2))); }},
    {"erf(x)", "the error function", unary<at::erf>},
    {"erfc(x)", "1 - erf(x)", unary<at::erfc>},
    {"erfinv(x)", "the inverse of erf", unary<at::erfinv>},
    {"frexp(x) -> mantissa, exponent",
     "mantissa (0.5 to 1, with x's sign) and exponent of 2: x = mantissa * 2 ^ exponent", frexp},
    {"nan_to_num(x, nan: number=0, posinf: number=nil, neginf: number=nil)",
     "numbers in place of NaN and infinities", nan_to_num},
};

constexpr Operation kComparisons[] = {
    {"eq(x: Operand, other: Operand)", "x == other", binary<at::eq>},
    {"ne(x: Operand, other: Operand)", "x ~= other", binary<at::ne>},
    {"lt(x: Operand, other: Operand)", "x < other", binary<at::lt>},
    {"le(x: Operand, other: Operand)", "x <= other", binary<at::le>},
    {"gt(x: Operand, other: Operand)", "x > other", binary<at::gt>},
    {"ge(x: Operand, other: Operand)", "x >= other", binary<at::ge>},
    {"logical_and(x: Operand, other: Operand)", "both hold (are not 0)", binary<at::logical_and>},
    {"logical_or(x: Operand, other: Operand)", "at least one holds", binary<at::logical_or>},
    {"logical_xor(x: Operand, other: Operand)", "exactly one holds", binary<at::logical_xor>},
    {"logical_not(x)", "x is 0", unary<at::logical_not>},
    {"isnan(x)", "x is not a number", unary<at::isnan>},
    {"isinf(x)", "x is infinite", unary<at::isinf>},
    {"isfinite(x)", "x is neither", unary<at::isfinite>},
    {"signbit(x)", "x is negative, or -0", unary<at::signbit>},
    {"isclose(x, other, rtol: number=1e-05, atol: number=1e-08)",
     "|x - other| <= atol + rtol |other|",
     [](Call& c) {
       return c.push(at::isclose(c.floats(0), c.floats(1), c.number(2), c.number(3)));
     }},
    {"isin(x, test_elements)", "x is one of the test elements",
     [](Call& c) { return c.push(at::isin(c.numeric(0), c.numeric(1))); }},
    {"equal(x, other) -> same: boolean", "true or false: same shape, same values",
     [](Call& c) {
       lua_pushboolean(c.lua(), at::equal(c.numeric(0), c.numeric(1)));
       return 1;
     }},
    {"allclose(x, other, rtol: number=1e-05, atol: number=1e-08) -> close: boolean",
     "true or false: |x - other| <= atol + rtol |other| everywhere",
     [](Call& c) {
       lua_pushboolean(c.lua(), at::allclose(c.floats(0), c.floats(1), c.number(2), c.number(3)));
       return 1;
     }},
};

}  // namespace

std::span<const Operation> arithmetic_operations() { return kArithmetic; }
std::span<const Operation> math_operations() { return kMath; }
std::span<const Operation> comparison_operations() { return kComparisons; }

}  // namespace bitloop::lua
