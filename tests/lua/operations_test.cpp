// Small examples of operations, readable numbers and errors; oracle_test.cpp compares all of them
// with LibTorch. w is (2, 3): -2.5 -1.5 -0.5 / 0.5 1.5 2.5.
#include "lua/tensor/operation.h"

#include <functional>

#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

using ::testing::HasSubstr;

struct Example {
  const char* expression;
  std::function<at::Tensor(const at::Tensor&)> expected;
};

at::Tensor number(double value) { return at::full({}, value, at::kFloat); }
at::Tensor list(std::vector<float> values) { return at::tensor(values); }

#define EXAMPLE(text, ...)                        \
  Example {                                       \
    text, [](const at::Tensor& w) -> at::Tensor { \
      (void)w;                                    \
      return __VA_ARGS__;                         \
    }                                             \
  }

const std::vector<Example>& examples() {
  static const std::vector<Example> all = {
      EXAMPLE("torch.zeros(2, 3)", at::zeros({2, 3})),
      EXAMPLE("torch.ones({2})", at::ones({2})),
      EXAMPLE("torch.full({2, 1}, 0.5)", at::full({2, 1}, 0.5)),
      EXAMPLE("torch.full{size = {}, fill_value = 3}", number(3)),
      EXAMPLE("torch.zeros_like(w)", at::zeros({2, 3})),
      EXAMPLE("torch.ones_like(w)", at::ones({2, 3})),
      EXAMPLE("torch.full_like(w, 7)", at::full({2, 3}, 7.f)),
      EXAMPLE("torch.zeros()", number(0)),
      EXAMPLE("torch.tensor({{1, 2}, {3, 4}})", list({1, 2, 3, 4}).view({2, 2})),
      EXAMPLE("torch.tensor(5)", number(5)),
      EXAMPLE("torch.tensor({})", at::zeros({0})),
      EXAMPLE("torch.arange(3)", list({0, 1, 2})),
      EXAMPLE("torch.arange(1, 2, 0.25)", list({1, 1.25, 1.5, 1.75})),
      EXAMPLE("torch.linspace(-1, 1, 3)", list({-1, 0, 1})),
      EXAMPLE("torch.eye(2)", at::eye(2)),
      EXAMPLE("torch.eye(2, 3)", at::eye(2, 3)),
      EXAMPLE("w:add(1, 2)", w + 2),
      EXAMPLE("w:add{other = w, alpha = 2}", w * 3),
      EXAMPLE("w:sub(1)", w - 1),
      EXAMPLE("torch.mul(2, w)", w * 2),
      EXAMPLE("w:div(2)", w / 2),
      EXAMPLE("w:div(2, 'floor')", at::floor(w / 2)),
      EXAMPLE("w:div(w, {rounding_mode = 'trunc'})", at::ones({2, 3})),
      EXAMPLE("w:floor_divide(2)", at::floor(w / 2)),
      EXAMPLE("w:remainder(2)", at::remainder(w, 2)),
      EXAMPLE("w:fmod(2)", at::fmod(w, 2)),
      EXAMPLE("w:pow(2)", w * w),
      EXAMPLE("torch.pow(2, w)", at::pow(2, w)),
      EXAMPLE("w:neg()", -w),
      EXAMPLE("w:reciprocal()", 1 / w),
      EXAMPLE("w:maximum(0)", at::relu(w)),
      EXAMPLE("torch.minimum(w, -w)", -w.abs()),
      EXAMPLE("w:clamp(-1, 1)", at::clamp(w, -1, 1)),
      EXAMPLE("w:clamp{max = 0}", at::clamp_max(w, 0)),
      EXAMPLE("w:clamp(w:neg():abs():neg(), w:abs() / 2)", at::minimum(w, w.abs() / 2)),
      EXAMPLE("w:clamp_min(0)", at::relu(w)),
      EXAMPLE("w:clamp_max(0)", at::clamp_max(w, 0)),
      EXAMPLE("torch.where(w:gt(0), w, 0)", at::relu(w)),
      EXAMPLE("torch.where(w:gt(0), 1, -1)", at::sign(w)),
      EXAMPLE("w:lerp(w * 3, 0.5)", w * 2),
      EXAMPLE("w:addcmul(w, w, 2)", w + 2 * w * w),
      EXAMPLE("w:addcdiv(w, w)", w + 1),
      EXAMPLE("w:abs()", w.abs()),
      EXAMPLE("w:sign()", at::sign(w)),
      EXAMPLE("w:sgn()", at::sign(w)),
      EXAMPLE("w:round()", list({-2, -2, -0.f, 0, 2, 2}).view({2, 3})),
      EXAMPLE("(w / 3):round(1)", at::round(w / 3, 1)),
      EXAMPLE("w:floor()", at::floor(w)),
      EXAMPLE("w:ceil()", at::ceil(w)),
      EXAMPLE("w:trunc()", at::trunc(w)),
      EXAMPLE("w:frac()", at::frac(w)),
      EXAMPLE("w:square()", w * w),
      EXAMPLE("w:abs():sqrt()", at::sqrt(w.abs())),
      EXAMPLE("w:abs():rsqrt()", at::rsqrt(w.abs())),
      EXAMPLE("w:exp()", at::exp(w)),
      EXAMPLE("w:exp2()", at::exp2(w)),
      EXAMPLE("w:expm1()", at::expm1(w)),
      EXAMPLE("w:abs():log()", at::log(w.abs())),
      EXAMPLE("w:abs():log2()", at::log2(w.abs())),
      EXAMPLE("w:abs():log10()", at::log10(w.abs())),
      EXAMPLE("w:abs():log1p()", at::log1p(w.abs())),
      EXAMPLE("w:sin()", at::sin(w)),
      EXAMPLE("w:cos()", at::cos(w)),
      EXAMPLE("w:tan()", at::tan(w)),
      EXAMPLE("w:atan()", at::atan(w)),
      EXAMPLE("w:sinh()", at::sinh(w)),
      EXAMPLE("w:cosh()", at::cosh(w)),
      EXAMPLE("w:tanh()", at::tanh(w)),
      EXAMPLE("w:sigmoid()", at::sigmoid(w)),
      EXAMPLE("w:relu()", at::relu(w)),
      EXAMPLE("w:silu()", at::silu(w)),
      EXAMPLE("w:gelu()", at::gelu(w)),
      EXAMPLE("w:gelu('tanh')", at::gelu(w, "tanh")),
      EXAMPLE("w:softplus()", at::softplus(w)),
      EXAMPLE("w:erf()", at::erf(w)),
      EXAMPLE("(w / 3):erfinv()", at::erfinv(w / 3)),
      EXAMPLE("(w * 0 / 0):nan_to_num(2)", at::full({2, 3}, 2.f)),
      EXAMPLE("w:eq(0.5)", w.eq(0.5).to(at::kFloat)),
      EXAMPLE("w:ne(0.5)", w.ne(0.5).to(at::kFloat)),
      EXAMPLE("w:lt(0)", w.lt(0).to(at::kFloat)),
      EXAMPLE("w:le(w)", at::ones({2, 3})),
      EXAMPLE("w:gt(0)", w.gt(0).to(at::kFloat)),
      EXAMPLE("w:ge(0)", w.gt(0).to(at::kFloat)),
      EXAMPLE("w:gt(0) * 2 - 1", at::sign(w)),
      EXAMPLE("-w:gt(0)", -w.gt(0).to(at::kFloat)),
      EXAMPLE("w:gt(0) + w:gt(0)", 2 * w.gt(0).to(at::kFloat)),
      EXAMPLE("w:gt(0):mean()", number(0.5)),
      EXAMPLE("w:gt(0):sum()", number(3)),
      EXAMPLE("w:gt(0):logical_and(w:lt(2))", (w.gt(0) * w.lt(2)).to(at::kFloat)),
      EXAMPLE("w:gt(0):logical_or(w:lt(2))", at::ones({2, 3})),
      EXAMPLE("w:gt(0):logical_xor(w:lt(2))", at::logical_xor(w.gt(0), w.lt(2)).to(at::kFloat)),
      EXAMPLE("w:gt(0):logical_not()", w.lt(0).to(at::kFloat)),
      EXAMPLE("w:isnan()", at::zeros({2, 3})),
      EXAMPLE("w:isinf()", at::zeros({2, 3})),
      EXAMPLE("w:isfinite()", at::ones({2, 3})),
      EXAMPLE("(w:equal(w) and not w:equal(-w)) and 1 or 0", number(1)),
      EXAMPLE("w:allclose(w + 1e-9) and 1 or 0", number(1)),
      EXAMPLE("w:sum()", number(0)),
      EXAMPLE("w:sum(1)", w.sum(1)),
      EXAMPLE("w:sum({0, 1})", number(0)),
      EXAMPLE("w:sum{dim = 0, keepdim = true}", w.sum(0, true)),
      EXAMPLE("w:mean{dim = -1, keepdim = true}", w.mean(-1, true)),
      EXAMPLE("w:abs():mean()", w.abs().mean()),
      EXAMPLE("w:amax()", number(2.5)),
      EXAMPLE("w:amax{dim = 1}", w.amax(1)),
      EXAMPLE("w:amin{dim = {0, 1}}", number(-2.5)),
      EXAMPLE("w:max()", number(2.5)),
      EXAMPLE("w:max(-w)", w.abs()),
      EXAMPLE("(w:max(1))", w.amax(1)),
      EXAMPLE("select(2, w:max(1))", list({2, 2})),
      EXAMPLE("w:min()", number(-2.5)),
      EXAMPLE("w:min(w * 2)", at::minimum(w, w * 2)),
      EXAMPLE("w:argmax()", number(5)),
      EXAMPLE("w:argmin(1)", at::zeros({2})),
      EXAMPLE("w:std()", at::std(w)),
      EXAMPLE("w:std{dim = 1, correction = 0}",
              at::std(w, at::OptionalIntArrayRef({1}), at::Scalar(0))),
      EXAMPLE("w:var(1)", at::var(w, at::OptionalIntArrayRef({1}))),
      EXAMPLE("w:norm()", at::norm(w)),
      EXAMPLE("w:norm(1, 1)", w.abs().sum(1)),
      EXAMPLE("w:prod()", at::prod(w)),
      EXAMPLE("w:prod(1)", at::prod(w, 1)),
      EXAMPLE("w:all()", number(1)),
      EXAMPLE("w:gt(0):any{dim = 1}", list({0, 1})),
      EXAMPLE("w:median()", number(-0.5)),
      EXAMPLE("(w:median(1))", list({-1.5, 1.5})),
      EXAMPLE("w:quantile(0.5)", number(0)),
      EXAMPLE("w:quantile(0.5, 1)", list({-1.5, 1.5})),
      EXAMPLE("w:logsumexp(1)", at::logsumexp(w, 1)),
      EXAMPLE("w:count_nonzero()", number(6)),
      EXAMPLE("w:count_nonzero(0)", list({2, 2, 2})),
      EXAMPLE("w:cumsum(1)", at::cumsum(w, 1)),
      EXAMPLE("w:cumprod(0)", at::cumprod(w, 0)),
      EXAMPLE("w:softmax(-1)", at::softmax(w, -1)),
      EXAMPLE("w:log_softmax{dim = 0}", at::log_softmax(w, 0)),
      EXAMPLE("(w:sort{dim = 1, descending = true})", at::flip(w, 1)),
      EXAMPLE("w:argsort{descending = true}", list({2, 1, 0, 2, 1, 0}).view({2, 3})),
      EXAMPLE("(w:topk(2))", list({-0.5, -1.5, 2.5, 1.5}).view({2, 2})),
      EXAMPLE("(w:kthvalue(2))", list({-1.5, 1.5})),
      EXAMPLE("w:size(1)", number(3)),
      EXAMPLE("w:size()[1]", number(2)),
      EXAMPLE("w:shape()[2]", number(3)),
      EXAMPLE("torch.zeros(w:shape())", at::zeros({2, 3})),
      EXAMPLE("w:dim()", number(2)),
      EXAMPLE("w:numel()", number(6)),
      EXAMPLE("w:view(3, -1)", w.view({3, 2})),
      EXAMPLE("w:reshape({6})", w.view({6})),
      EXAMPLE("w:view_as(w)", w),
      EXAMPLE("w:flatten()", w.view({6})),
      EXAMPLE("w:unflatten(1, {3, 1})", w.view({2, 3, 1})),
      EXAMPLE("w:permute(1, 0)", w.t()),
      EXAMPLE("w:transpose(0, 1)", w.t()),
      EXAMPLE("w:t()", w.t()),
      EXAMPLE("w:unsqueeze(-1)", w.unsqueeze(-1)),
      EXAMPLE("w:unsqueeze(0):squeeze()", w),
      EXAMPLE("w:unsqueeze(0):squeeze(0)", w),
      EXAMPLE("w[0]:expand(2, -1)", w[0].expand({2, -1})),
      EXAMPLE("w[0]:expand_as(w)", w[0].expand({2, -1})),
      EXAMPLE("w[0]:broadcast_to(2, 3)", w[0].expand({2, 3})),
      EXAMPLE("w:t():contiguous()", w.t()),
      EXAMPLE("w:tile(1, 2)", at::cat({w, w}, 1)),
      EXAMPLE("w:repeat_interleave(2, 1)", at::repeat_interleave(w, 2, 1)),
      EXAMPLE("torch.cat({w, w}, 1)", at::cat({w, w}, 1)),
      EXAMPLE("torch.cat{tensors = {w, w}}", at::cat({w, w})),
      EXAMPLE("torch.stack({w, w})", at::stack({w, w})),
      EXAMPLE("select(2, w:chunk(2))", w.narrow(0, 1, 1)),
      EXAMPLE("select(2, w:split({1, 2}, 1))", w.narrow(1, 1, 2)),
      EXAMPLE("(w:split(1))", w.narrow(0, 0, 1)),
      EXAMPLE("w:flip(0, 1)", at::flip(w, {0, 1})),
      EXAMPLE("w:roll(1, 1)", at::roll(w, 1, 1)),
      EXAMPLE("w:pad({1, 2})", at::constant_pad_nd(w, {1, 2})),
      EXAMPLE("w:pad({0, 0, 1, 0}, 9)", at::constant_pad_nd(w, {0, 0, 1, 0}, 9)),
      EXAMPLE("w:unfold(1, 2, 1)", w.unfold(1, 2, 1)),
      EXAMPLE("w:tril()", at::tril(w)),
      EXAMPLE("w:triu(1)", at::triu(w, 1)),
      EXAMPLE("w:diag()", at::diag(w)),
      EXAMPLE("w[1]:diag()", at::diag(w[1])),
      EXAMPLE("w:select(1, -1)", w.select(1, -1)),
      EXAMPLE("w[-1][0]", number(0.5)),
      EXAMPLE("w:narrow(1, 1, 2)", w.narrow(1, 1, 2)),
      EXAMPLE("w:index_select(1, torch.tensor({2, 0}))",
              at::index_select(w, 1, at::tensor({2, 0}))),
      EXAMPLE("w:gather(1, w:argsort())", w),
      EXAMPLE("w:take_along_dim(w:argmax{dim = 1, keepdim = true}, 1)", w.amax(1, true)),
      EXAMPLE("torch.searchsorted(w[1], torch.tensor({0, 1, 9}))", list({0, 1, 3})),
      EXAMPLE("torch.one_hot(torch.tensor({0, 2}), 3)", list({1, 0, 0, 0, 0, 1}).view({2, 3})),
      EXAMPLE("w:matmul(w:t())", at::matmul(w, w.t())),
      EXAMPLE("w:mm(w:t())", at::mm(w, w.t())),
      EXAMPLE("w[0]:matmul(w[1])", at::dot(w[0], w[1])),
      EXAMPLE("w:unsqueeze(0):bmm(w:t():unsqueeze(0))", at::mm(w, w.t()).unsqueeze(0)),
      EXAMPLE("w:mv(w[0])", at::mv(w, w[0])),
      EXAMPLE("w[0]:dot(w[1])", at::dot(w[0], w[1])),
      EXAMPLE("w[0]:outer(w[1])", at::outer(w[0], w[1])),
      EXAMPLE("w[0][0]:item()", number(-2.5)),
      EXAMPLE("w:tolist()[2][1]", number(0.5)),
      EXAMPLE("w:dtype() == 'float32' and w:gt(0):dtype() == 'bool' and w:int():dtype() == 'int64' "
              "and 1 or 0",
              number(1)),
      EXAMPLE("w:gt(0):float()", w.gt(0).to(at::kFloat)),
      EXAMPLE("w:int()", at::trunc(w)),
      EXAMPLE("w:int():bool()", w.abs().gt(1).to(at::kFloat)),
      EXAMPLE("w:gt(0):type_as(w)", w.gt(0).to(at::kFloat)),
      EXAMPLE("w:detach()", w),
      EXAMPLE("w:clone()", w),
      EXAMPLE("w:requires_grad() and 1 or 0", number(0)),
      EXAMPLE("bitloop.ste_round(w)", at::round(w)),
      EXAMPLE("bitloop.autograd{forward = torch.abs, backward = function(g) return g end}(w)",
              w.abs()),
      EXAMPLE("bitloop.autograd(torch.abs, torch.neg)(w)", w.abs()),
      EXAMPLE("bitloop.hadamard(torch.tensor({{3, 5}}), 2)",
              list({8, -2}).view({1, 2}) / std::sqrt(2.0)),
      EXAMPLE("bitloop.hadamard(bitloop.hadamard(torch.arange(16), 8), 8)",
              at::arange(16, at::kFloat)),
      EXAMPLE("bitloop.blocks(w, 2)", at::constant_pad_nd(w, {0, 1}).view({2, 2, 2})),
      EXAMPLE("bitloop.unblocks(bitloop.blocks(w, 2), 3)", w),
      EXAMPLE("bitloop.blocks(w:flatten(), 4)",
              at::constant_pad_nd(w.view({6}), {0, 2}).view({2, 4})),
      EXAMPLE("w + 1", w + 1),
      EXAMPLE("1 + w", w + 1),
      EXAMPLE("w - 1", w - 1),
      EXAMPLE("1 - w", 1 - w),
      EXAMPLE("w - w[0]", w - w[0]),
      EXAMPLE("w * 2.5", w * 2.5),
      EXAMPLE("3 / w", 3 / w),
      EXAMPLE("w / w", at::ones({2, 3})),
      EXAMPLE("w // 2", at::floor(w / 2)),
      EXAMPLE("5 // w", at::floor(5 / w)),
      EXAMPLE("w ^ 2", w * w),
      EXAMPLE("2 ^ w", at::pow(2, w)),
      EXAMPLE("w % 2", at::remainder(w, 2)),
      EXAMPLE("7 % w", at::remainder(7, w)),
      EXAMPLE("w ^ w:abs()", at::pow(w, w.abs())),
      EXAMPLE("w:argmax() / 2", number(2.5)),
      EXAMPLE("(w:max() > 2 and w:min() <= -2.5 and w:max() == w:amax()) and 1 or 0", number(1)),
  };
  return all;
}

TEST(OperationsTest, AgreeWithLibTorch) {
  const at::Tensor w = at::arange(6, at::kFloat).view({2, 3}) - 2.5;
  for (const Example& example : examples()) {
    const at::Tensor got = evaluate(example.expression);
    if (!got.defined()) continue;
    const at::Tensor expected = example.expected(w).to(at::kFloat);
    EXPECT_EQ(got.sizes(), expected.sizes()) << example.expression;
    if (got.sizes() != expected.sizes()) continue;
    EXPECT_TRUE(at::allclose(got, expected, 1e-6, 1e-6, true)) << example.expression << "\n"
                                                               << got << "\n"
                                                               << expected;
  }
}

// Found with the weights of a larger model: the row and the matrix were taken for operands that are
// broadcast together.
TEST(OperationsTest, ViewAsNeedsNoMoreMemoryThanItsElements) {
  const at::Tensor w = at::zeros({768, 512});
  const at::Tensor same = evaluate("w:reshape(-1):view_as(w)", w);  // within 64 MiB
  EXPECT_EQ(same.sizes(), w.sizes());
}

TEST(OperationsTest, MethodsAreAlsoFunctions) {
  EXPECT_TRUE(at::equal(evaluate("torch.clamp(w, {min = 0})"), evaluate("w:clamp{min = 0}")));
  EXPECT_TRUE(at::equal(evaluate("torch.clamp(w, 0)"), evaluate("w:clamp(0)")));
}

// What an expression's sum gives w as gradient.
at::Tensor gradient(const std::string& prefix, const std::string& expression) {
  const auto quantizer = load(with_body(prefix + "\nreturn " + expression + ", 1"));
  EXPECT_TRUE(quantizer) << quantizer.error().message;
  const at::Tensor w = at::tensor({0.4f, -1.6f, 3.0f}).requires_grad_();
  const auto result = (*quantizer)->weight_quant(w, Context{});
  EXPECT_TRUE(result) << result.error().message;
  if (!result) return {};
  result->codes.sum().backward();
  return w.grad();
}

TEST(AutogradTest, StraightThroughRounding) {
  EXPECT_TRUE(at::equal(gradient("", "bitloop.ste_round(w * 2)"), list({2, 2, 2})));
  EXPECT_TRUE(at::equal(gradient("", "w:round()"), list({0, 0, 0})));
  EXPECT_TRUE(at::equal(gradient("", "w * w:detach()"), list({0.4f, -1.6f, 3.0f})));
}

TEST(AutogradTest, OwnGradientsAreUsed) {
  const std::string own =
      "local mask = w:abs():lt(2)\n"
      "local f = bitloop.autograd{forward = function(x, k) return x:sign() * k end,\n"
      "  backward = function(grad, x, k) return grad * mask * k, nil end}";
  EXPECT_TRUE(at::equal(gradient(own, "f(w, 3)"), list({3, 3, 0})));
  EXPECT_TRUE(at::equal(gradient(own, "f(f(w, 1) * 1.5, 2)"), list({3, 3, 0})));
}

TEST(AutogradTest, NestedFunctionsUseTheOuterGradient) {
  EXPECT_TRUE(at::equal(
      gradient("local inner = bitloop.autograd(torch.abs, function(g, x) return g * 100 end)\n"
               "local outer = bitloop.autograd{forward = function(x) return inner(x) end, "
               "backward = function(g, x) return inner(g) * 5 end}",
               "outer(w)"),
      list({5, 5, 5})));
}

struct BackwardCase {
  const char* backward;
  const char* message;
};
class AutogradErrors : public ::testing::TestWithParam<BackwardCase> {};

TEST_P(AutogradErrors, LeaveBackwardAsBackwardError) {
  const auto quantizer = load(
      with_body("local f = bitloop.autograd{forward = function(x) return x * 1 end,\nbackward = " +
                std::string(GetParam().backward) + "}\nreturn f(w), 1"));
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  const at::Tensor w = at::ones({3}).requires_grad_();
  const auto result = (*quantizer)->weight_quant(w, Context{});
  ASSERT_TRUE(result) << result.error().message;
  try {
    result->codes.sum().backward();
    FAIL() << "no error";
  } catch (const BackwardError& error) {
    EXPECT_THAT(error.error.message, ::testing::StartsWith("candidate.lua:"));
    EXPECT_THAT(error.error.message, HasSubstr(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, AutogradErrors,
    ::testing::Values(
        BackwardCase{"function(g, x) error('inside') end", "candidate.lua:4: inside"},
        BackwardCase{"function(g, x) return 3 end", "must be a Tensor or nil, got the number 3"},
        BackwardCase{"function(g, x) return g[0] end",
                     "must have its argument's shape (3), got ()"},
        BackwardCase{"function(g, x) return g, g end", "got 2 values"},
        BackwardCase{"function(g, x) return g:matmul(torch.ones(7)) end",
                     "candidate.lua:4: matmul: "},
        BackwardCase{"function(g, x) while true do end end", "more than 5000000 instructions"},
        BackwardCase{"function(g, x) return torch.zeros(1 << 30) end",
                     "4096 MiB more are needed"}));

TEST(AutogradTest, WrongUsesAreErrors) {
  for (const auto& [body, message] : std::vector<std::pair<const char*, const char*>>{
           {"bitloop.autograd{forward = torch.abs}", "needs an argument 'backward'"},
           {"bitloop.autograd(1, 2)", "forward must be a function, got the number 1"},
           {"bitloop.autograd(function() end, error)(w)",
            "forward must return one Tensor, got 0 values"},
           {"bitloop.autograd(function() return 1 end, error)(w)", "got the number 1"},
           {"bitloop.autograd(function() error('f') end, error)(w)", "candidate.lua:3: f"}}) {
    EXPECT_THAT(body_error(body).message, HasSubstr(message)) << body;
  }
}

TEST(AutogradTest, AGraphMayOutliveItsQuantizer) {
  at::Tensor codes;
  {
    const auto quantizer = load(with_body("return bitloop.autograd(torch.abs, torch.neg)(w), 1"));
    codes = (*quantizer)->weight_quant(at::ones({3}).requires_grad_(), Context{})->codes;
  }
  EXPECT_THROW(codes.sum().backward(), BackwardError);
}

}  // namespace
}  // namespace bitloop::lua
