// Arithmetic, functions and comparisons, element by element.
#include "tests/lua/oracle.h"

namespace bitloop::lua::oracle {

namespace {

using at::kFloat;

std::vector<Case> arithmetic_cases() {
  return {
      ORACLE("add", "x:add(y)", at::add(x, y)),
      ORACLE("add", "x:add(y, 2.5)", at::add(x, y, 2.5)),
      ORACLE("add", "torch.add{x = x, other = y, alpha = -1}", at::add(x, y, -1)),
      ORACLE("add", "x + y", x + y),
      ORACLE("add", "2 + x", x + 2),
      ORACLE("add", "x + 0.5", x + 0.5),
      ORACLE("add", "k + 1", k + 1),
      ORACLE("add", "x + k", x + k),
      ORACLE("add", "x:gt(0) + 1", x.gt(0).to(kFloat) + 1),
      ORACLE("sub", "x:sub(y, 3)", at::sub(x, y, 3)),
      ORACLE("sub", "x - y", x - y),
      ORACLE("sub", "1 - x", 1 - x),
      ORACLE("sub", "k - x:gt(0)", k - x.gt(0).to(kFloat)),
      ORACLE("mul", "x:mul(y)", at::mul(x, y)),
      ORACLE("mul", "x * -3", x * -3),
      ORACLE("mul", "k * k", k * k),
      ORACLE("div", "x:div(y)", at::div(x, y)),
      ORACLE("div", "x / 3", at::div(x, 3)),
      ORACLE("div", "3 / x", at::div(number(3, x), x)).in(0.3, 2),
      ORACLE("div", "k / 2", at::div(k, 2)),
      ORACLE("div", "x:div(y, 'floor')", at::div(x, y, "floor")),
      ORACLE("div", "x:div(y, {rounding_mode = 'trunc'})", at::div(x, y, "trunc")),
      ORACLE("div", "x:div(0)", at::div(x, 0)).no_gradient("infinite"),
      ORACLE("floor_divide", "x:floor_divide(y)", at::floor_divide(x, y))
          .no_gradient("LibTorch has none"),
      ORACLE("floor_divide", "x // y", at::div(x, y, "floor")),
      ORACLE("floor_divide", "k // 2", at::div(k, 2, "floor")),
      ORACLE("floor_divide", "5 // x", at::div(number(5, x), x, "floor")).in(0.84, 1.95),
      ORACLE("remainder", "x:remainder(y)", at::remainder(x, y)),
      ORACLE("remainder", "x % 1.5", at::remainder(x, 1.5)),
      ORACLE("remainder", "7 % x", at::remainder(number(7, x), x)).in(0.81, 1.93),
      ORACLE("remainder", "k % 3", at::remainder(k, 3)),
      ORACLE("fmod", "x:fmod(y)", at::fmod(x, y)),
      ORACLE("pow", "x:pow(2)", at::pow(x, 2)),
      ORACLE("pow", "x ^ 2", at::pow(x, 2)),
      ORACLE("pow", "x:pow(y)", at::pow(x, y)).in(0.2, 2),
      ORACLE("pow", "x ^ y", at::pow(x, y)).in(0.2, 2),
      ORACLE("pow", "x ^ 0.5", at::pow(x, 0.5)).in(0.2, 2),
      ORACLE("pow", "2 ^ x", at::pow(2, x)),
      ORACLE("pow", "torch.pow(2, x)", at::pow(2, x)),
      ORACLE("neg", "x:neg()", at::neg(x)),
      ORACLE("neg", "-x", -x),
      ORACLE("neg", "-x:gt(0)", -x.gt(0).to(kFloat)),
      ORACLE("reciprocal", "x:reciprocal()", at::reciprocal(x)).in(0.3, 2),
      ORACLE("maximum", "x:maximum(y)", at::maximum(x, y)),
      ORACLE("maximum", "x:maximum(0)", at::maximum(x, number(0, x))),
      ORACLE("minimum", "x:minimum(y)", at::minimum(x, y)),
      ORACLE("minimum", "torch.minimum(0.5, x)", at::minimum(number(0.5, x), x)).floats_only(),
      ORACLE("fmax", "x:fmax(y)", at::fmax(x, y)),
      ORACLE("fmax", "x:fmax(0)", at::fmax(x, number(0, x))),
      ORACLE("fmin", "x:fmin(y)", at::fmin(x, y)),
      ORACLE("clamp", "x:clamp(-1, 1)", at::clamp(x, -1, 1)),
      ORACLE("clamp", "x:clamp{max = 0.5}", at::clamp(x, std::nullopt, 0.5)),
      ORACLE("clamp", "x:clamp{min = -y}", at::clamp_min(x, -y)),
      ORACLE("clamp", "x:clamp(-y, y)", at::clamp(x, -y, y)),
      ORACLE("clamp", "x:clamp(-0.5, y)", at::minimum(at::clamp_min(x, -0.5), y)),
      ORACLE("clamp_min", "x:clamp_min(0.25)", at::clamp_min(x, 0.25)),
      ORACLE("clamp_min", "x:clamp_min(y)", at::clamp_min(x, y)),
      ORACLE("clamp_max", "x:clamp_max(0.25)", at::clamp_max(x, 0.25)),
      ORACLE("clamp_max", "x:clamp_max(y)", at::clamp_max(x, y)),
      ORACLE("where", "torch.where(x:gt(0), x, y)", at::where(x.gt(0), x, y)),
      ORACLE("where", "torch.where(x:gt(0), 1, -1)",
             at::where(x.gt(0), at::ones_like(x), -at::ones_like(x)))
          .floats_only(),
      ORACLE("where", "torch.where(k, x, 0)", at::where(k.to(at::kBool), x, at::zeros_like(x))),
      ORACLE("where", "torch.where(x:abs():amax{dim = -1, keepdim = true}:gt(1), x, y * 2)",
             at::where(at::amax(x.abs(), -1, true).gt(1), x, y * 2)),
      ORACLE("lerp", "x:lerp(y, 0.3)", at::lerp(x, y, 0.3)),
      ORACLE("lerp", "x:lerp(y, y / 2)", at::lerp(x, y, y / 2)),
      ORACLE("atan2", "x:atan2(y)", at::atan2(x, y)),
      ORACLE("hypot", "x:hypot(y)", at::hypot(x, y)),
      ORACLE("hypot", "x:hypot(3)", at::hypot(x, number(3, x))),
      ORACLE("copysign", "y:copysign(x)", at::copysign(y, x)),
      ORACLE("copysign", "x:copysign(-1)", at::copysign(x, -1)),
      ORACLE("heaviside", "x:heaviside(0.5)", at::heaviside(x, number(0.5, x)))
          .floats_only()
          .no_gradient("LibTorch has none"),
      ORACLE("xlogy", "x:xlogy(y)", at::xlogy(x, y)),
      ORACLE("logaddexp", "x:logaddexp(y)", at::logaddexp(x, y)),
      ORACLE("logaddexp", "x:logaddexp(0)", at::logaddexp(x, number(0, x))),
      ORACLE("ldexp", "x:ldexp(k)", at::ldexp(x, k)).floats_only(),
      ORACLE("ldexp", "x:ldexp(-3)", x / 8),
      ORACLE("ldexp", "x:ldexp(-k)", at::ldexp(x, -k)),
      ORACLE("ldexp", "x:ldexp(y)", at::ldexp(x, y)).within(3e-7),
      ORACLE("addcmul", "x:addcmul(y, x, 0.5)", at::addcmul(x, y, x, 0.5)),
      ORACLE("addcdiv", "x:addcdiv(x, y, {value = -2})", at::addcdiv(x, x, y, -2)),
  };
}

std::vector<Case> function_cases() {
  return {
      ORACLE("abs", "x:abs()", at::abs(x)),
      ORACLE("abs", "(-k):abs()", k),
      ORACLE("sign", "x:sign()", at::sign(x)),
      ORACLE("sgn", "x:sgn()", at::sgn(x)),
      ORACLE("round", "x:round()", at::round(x)),
      ORACLE("round", "x:round(2)", at::round(x, 2)).in(-2.0313, 1.9777),
      ORACLE("round", "x:round{decimals = -1}", at::round(x, -1)),
      ORACLE("floor", "x:floor()", at::floor(x)),
      ORACLE("ceil", "x:ceil()", at::ceil(x)),
      ORACLE("trunc", "x:trunc()", at::trunc(x)),
      ORACLE("frac", "x:frac()", at::frac(x)),
      ORACLE("square", "x:square()", at::square(x)),
      ORACLE("sqrt", "x:sqrt()", at::sqrt(x)).in(0.2, 2),
      ORACLE("rsqrt", "x:rsqrt()", at::rsqrt(x)).in(0.3, 2),
      ORACLE("exp", "x:exp()", at::exp(x)),
      ORACLE("exp2", "x:exp2()", at::exp2(x)),
      ORACLE("expm1", "x:expm1()", at::expm1(x)),
      ORACLE("log", "x:log()", at::log(x)).in(0.3, 2),
      ORACLE("log2", "x:log2()", at::log2(x)).in(0.3, 2),
      ORACLE("log10", "x:log10()", at::log10(x)).in(0.3, 2),
      ORACLE("log1p", "x:log1p()", at::log1p(x)).in(-0.6, 2),
      ORACLE("sin", "x:sin()", at::sin(x)),
      ORACLE("cos", "x:cos()", at::cos(x)),
      ORACLE("tan", "x:tan()", at::tan(x)).in(-1.2, 1.2),
      ORACLE("asin", "x:asin()", at::asin(x)).in(-0.8, 0.8),
      ORACLE("acos", "x:acos()", at::acos(x)).in(-0.8, 0.8),
      ORACLE("atan", "x:atan()", at::atan(x)),
      ORACLE("sinh", "x:sinh()", at::sinh(x)),
      ORACLE("cosh", "x:cosh()", at::cosh(x)),
      ORACLE("tanh", "x:tanh()", at::tanh(x)),
      ORACLE("asinh", "x:asinh()", at::asinh(x)),
      ORACLE("acosh", "x:acosh()", at::acosh(x)).in(1.2, 3),
      ORACLE("atanh", "x:atanh()", at::atanh(x)).in(-0.8, 0.8),
      ORACLE("sinc", "x:sinc()", at::sinc(x)),
      ORACLE("sigmoid", "x:sigmoid()", at::sigmoid(x)),
      ORACLE("logsigmoid", "x:logsigmoid()", at::log_sigmoid(x)),
      ORACLE("logit", "x:logit()", at::logit(x)).in(0.1, 0.9),
      ORACLE("logit", "x:logit(0.2)", at::logit(x, 0.2)).in(0.25, 0.75),
      ORACLE("relu", "x:relu()", at::relu(x)),
      ORACLE("leaky_relu", "x:leaky_relu()", at::leaky_relu(x, 0.01)),
      ORACLE("leaky_relu", "x:leaky_relu(0.3)", at::leaky_relu(x, 0.3)),
      ORACLE("elu", "x:elu()", at::elu(x)),
      ORACLE("elu", "x:elu(2)", at::elu(x, 2)),
      ORACLE("hardshrink", "x:hardshrink()", at::hardshrink(x, 0.5)),
      ORACLE("softshrink", "x:softshrink{lambd = 0.25}", at::softshrink(x, 0.25)),
      ORACLE("silu", "x:silu()", at::silu(x)),
      ORACLE("gelu", "x:gelu()", at::gelu(x)),
      ORACLE("gelu", "x:gelu('tanh')", at::gelu(x, "tanh")),
      ORACLE("softplus", "x:softplus()", at::softplus(x)),
      ORACLE("softplus", "x:softplus{beta = 3, threshold = 4}", at::softplus(x, 3, 4)),
      ORACLE("erf", "x:erf()", at::erf(x)),
      ORACLE("erfc", "x:erfc()", at::erfc(x)),
      ORACLE("erfinv", "x:erfinv()", at::erfinv(x)).in(-0.8, 0.8),
      ORACLE("frexp", "x:frexp()",
             [](auto parts) {
               return std::tuple(std::get<0>(parts), std::get<1>(parts).to(at::kLong));
             }(at::frexp(x)))
          .in(1.03, 1.93),
      ORACLE("nan_to_num", "x:nan_to_num()", at::nan_to_num(x, 0.0)),
      ORACLE("nan_to_num", "x:nan_to_num{nan = 1, posinf = 2, neginf = -2}",
             at::nan_to_num(x, 1.0, 2.0, -2.0)),
  };
}

std::vector<Case> comparison_cases() {
  return {
      ORACLE("eq", "x:eq(y)", at::eq(x, y)),
      ORACLE("eq", "x:eq(0)", at::eq(x, 0)),
      ORACLE("ne", "x:ne(y)", at::ne(x, y)),
      ORACLE("lt", "x:lt(y)", at::lt(x, y)),
      ORACLE("lt", "torch.lt(0, x)", at::gt(x, 0)),
      ORACLE("le", "x:le(0)", at::le(x, 0)),
      ORACLE("gt", "x:gt(y)", at::gt(x, y)),
      ORACLE("ge", "x:ge(x)", at::ge(x, x)),
      ORACLE("ge", "k:ge(1)", at::ge(k, 1)),
      ORACLE("logical_and", "x:logical_and(k)", at::logical_and(x, k)),
      ORACLE("logical_or", "x:logical_or(k)", at::logical_or(x, k)),
      ORACLE("logical_xor", "x:logical_xor(k)", at::logical_xor(x, k)),
      ORACLE("logical_not", "x:logical_not()", at::logical_not(x)),
      ORACLE("logical_not", "x:gt(0):logical_not()", at::logical_not(x.gt(0))),
      ORACLE("isnan", "x:isnan()", at::isnan(x)),
      ORACLE("isinf", "x:isinf()", at::isinf(x)),
      ORACLE("isfinite", "x:isfinite()", at::isfinite(x)),
      ORACLE("signbit", "x:signbit()", at::signbit(x)),
      ORACLE("isclose", "x:isclose(y)", at::isclose(x, y)),
      ORACLE("isclose", "x:isclose(x + 1e-3, {rtol = 0, atol = 1e-2})",
             at::isclose(x, x + 1e-3, 0, 1e-2)),
      ORACLE("isin", "x:isin(torch.tensor({0, 1, 2}))",
             at::isin(x, at::arange(3, x.options().requires_grad(false)))),
      ORACLE("equal", "x:equal(x)", at::equal(x, x)),
      ORACLE("equal", "x:equal(y)", at::equal(x, y)),
      ORACLE("allclose", "x:allclose(x + 1e-9)", at::allclose(x, x + 1e-9)),
      ORACLE("allclose", "x:allclose(y, {atol = 10})", at::allclose(x, y, 1e-5, 10)),
  };
}

}  // namespace

std::vector<Case> elementwise_cases() {
  std::vector<Case> all = arithmetic_cases();
  for (const auto& more : {function_cases(), comparison_cases()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace bitloop::lua::oracle
