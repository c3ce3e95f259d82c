// What somebody is told who writes a name of PyTorch, Torch7 or NumPy that does not exist here, or
// calls an operation wrongly: the function, what was expected, what came.
#include "lua/tensor/other_names.h"

#include <set>
#include <vector>

#include "lua/tensor/operation.h"
#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

using ::testing::HasSubstr;

struct Mistake {
  const char* code;
  const char* message;
};

void expect_explained(const std::vector<Mistake>& mistakes) {
  for (const Mistake& mistake : mistakes) {
    SCOPED_TRACE(mistake.code);
    const std::string message = body_error(std::string("return ") + mistake.code + ", 1").message;
    EXPECT_THAT(message, HasSubstr(mistake.message));
    EXPECT_THAT(message, ::testing::StartsWith("candidate.lua:3: "));
    EXPECT_THAT(message, ::testing::Not(HasSubstr("\n")));
  }
}

TEST(MistakeTest, NumPysNames) {
  expect_explained(
      {{"w:astype('float32')", "a Tensor has no method 'astype': use float, int or bool"},
       {"torch.concatenate({w, w})", "there is no torch.concatenate: use torch.cat"},
       {"w:ndim()", "a Tensor has no method 'ndim': use dim"},
       {"w.ndim", "a Tensor has no method 'ndim': use dim"},
       {"w.T", "a Tensor has no method 'T': use t()"},
       {"w.shape[0]", "a function has no field the number 0: call it first, as in x:shape()[1]"},
       {"w:sum{axis = 1}", "sum: has no argument 'axis', did you mean 'dim'?: sum(x, dim=nil"},
       {"w:mean{dim = 1, keepdims = true}",
        "mean: has no argument 'keepdims', did you mean 'keepdim'?"},
       {"w:clip(0, 1)", "a Tensor has no method 'clip': use clamp"},
       {"w:clamp{a_min = 0}", "clamp: has no argument 'a_min', did you mean 'min'?"},
       {"torch.array({1})", "there is no torch.array: use torch.tensor"},
       {"w:expand_dims(0)", "use unsqueeze"},
       {"torch.arctan2(w, w)", "use atan2"},
       {"w:std{ddof = 0}", "std: has no argument 'ddof', did you mean 'correction'?"},
       {"np.abs(w)", "use torch"},
       {"w:abz()", "did you mean 'abs'?"},
       {"torch.percentile(w, 85)", "use quantile, with q from 0 to 1"},
       {"w:axis(0)", "a Tensor has no method 'axis'"}});
}

TEST(MistakeTest, Torch7sNames) {
  expect_explained(
      {{"w:cmul(w)", "a Tensor has no method 'cmul': use mul or *"},
       {"torch.Tensor(2, 3)", "there is no torch.Tensor: use torch.tensor or torch.zeros"},
       {"w:nElement()", "a Tensor has no method 'nElement': use numel"},
       {"w:expandAs(w)", "use expand_as"},
       {"torch.range(1, 3)", "use torch.arange"},
       {"w:sum(2)", "sum: Dimension out of range"},
       {"w:sum(2)", "got 2); dimensions count from 0"},
       {"w:maskedFill(w, 0)", "use masked_fill"},
       {"#w", "use x:size(0)"}});
}

TEST(MistakeTest, PyTorchsNames) {
  expect_explained(
      {{"w:clamp_(0, 1)", "nothing works in place: use x = x:clamp(…)"},
       {"w:fill_(0)", "nothing works in place: use torch.full_like"},
       {"w:cmul_(w)", "nothing works in place: use mul or *"},
       {"torch.einsum('ij->i', w)", "use matmul, permute and sum"},
       {"w:to('cuda')", "tensors stay on their device"},
       {"torch.randn(2)", "there is no randomness here"},
       {"torch.zeros(2, {dtype = 'int64'})", "zeros: has no argument 'dtype', tensors are float32"},
       {"torch.nn.functional", "there is no torch.nn: use the same name in torch"},
       {"w:ste_round()", "did you mean bitloop.ste_round?"},
       {"torch.tensor({w, w})", "got a tensor; torch.stack joins tensors"},
       {"w:zeros(2)", "did you mean torch.zeros?"}});
}

TEST(MistakeTest, WrongArguments) {
  expect_explained(
      {{"w.abs()", "abs: x must be a Tensor, got nothing (call it as x:abs(…)"},
       {"torch.abs({1})", "abs: x must be a Tensor, got a table"},
       {"w:sum('0')", "sum: dim must be whole numbers, got the string '0'"},
       {"w:sum(0.5)", "sum: dim must be whole numbers, got the number 0.5"},
       {"w:sum(0, 1)", "sum: keepdim must be true or false, got the number 1"},
       {"w:sum(0, true, 1)", "sum: takes at most 3 arguments, got 4"},
       {"w:topk()", "topk: needs an argument 'k': topk(x, k, dim=-1, largest=true"},
       {"w:topk(w)", "topk: k must be a number, got a Tensor (2, 3)"},
       {"w:topk(4)", "topk: "},
       {"w:round(0.5)", "round: decimals must be a whole number, got the number 0.5"},
       {"w:gelu('fast')", "gelu: approximate must be \"none\" or \"tanh\""},
       {"w:div(w, 'up')", "div: rounding_mode must be \"floor\", \"trunc\" or nil"},
       {"w:add('1')", "add: other must be a Tensor or a number, got the string '1'"},
       {"w + '1'", "can't compute a tensor + the string '1'"},
       {"w:matmul(w)", "matmul: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"},
       {"w:argmax() // 0", "x // y: "},
       {"w + torch.ones(2)", "x + y: The size of tensor a (3) must match the size of tensor b (2)"},
       {"w:view(4)", "view: shape '[4]' is invalid for input of size 6"},
       {"torch.cat(w)", "cat: tensors must be a list of Tensors, got a Tensor (2, 3)"},
       {"torch.cat({})", "cat: the list of Tensors is empty"},
       {"torch.cat({w, 1})", "cat: element 2 must be a Tensor, got the number 1"},
       {"w:quantile(85)", "quantile: q must be from 0 to 1, got 85"},
       {"w:quantile{q = 0.5, interpolation = 'cubic'}", "quantile: "},
       {"w:histc(0)", "histc: bins must be at least 1, got 0"},
       {"w:cdist(w[0])", "cdist: needs two lists of points"},
       {"w:masked_fill(w, w)", "masked_fill: value must be one number"},
       {"w:bucketize(w)", "bucketize: boundaries must have one dimension"},
       {"(-w):int():bincount()", "bincount: "},
       {"w:flatten():int():bincount{minlength = -1}",
        "bincount: minlength can't be negative, got -1"},
       {"w:scatter(1, torch.tensor({{3}}), 1)", "scatter: index 3 is out of bounds"},
       {"w:index_add(0, torch.tensor({5}), w:narrow(0, 0, 1))", "index_add: "},
       {"w:take(torch.tensor({6}))", "take: "},
       {"w:int():frac()", "frac: works on float32 tensors, this one is int64: use x:float()"},
       {"w:sum(-(1 << 62))", "sum: -4611686018427387904 is out of range"},
       {"w:one_hot(2)", "one_hot: "}});
}

// Results that the inputs do not bound are refused before memory is asked for.
TEST(MistakeTest, LargeResultsAreRefused) {
  for (const char* code :
       {"torch.tensor({1e12}):bincount()", "torch.tensor({1}):bincount{minlength = 1 << 40}",
        "w:histc(1 << 40)", "torch.zeros(1 << 13, 1):cdist(torch.zeros(1 << 13, 1))",
        "torch.zeros(1 << 7, 1, 1 << 5, 1):cdist(torch.zeros(1 << 7, 1 << 5, 1))",
        "torch.addmm(w[0][0], torch.zeros(1 << 13, 1), torch.zeros(1, 1 << 13))"}) {
    const Error error = body_error(std::string("return ") + code + ", 1");
    EXPECT_EQ(error.code, "out_of_memory") << code << ": " << error.message;
  }
}

TEST(OtherNamesTest, AreNamesThatDoNotExist) {
  std::set<std::string_view> exist, seen;
  for (const BoundOperation& bound : bound_operations()) exist.insert(bound.name);
  for (const auto& [name, hint] : other_names()) {
    EXPECT_TRUE(seen.insert(name).second) << name << " is there twice";
    // bitloop.autograd exists, torch.autograd does not
    EXPECT_TRUE(name == "autograd" || !exist.contains(name)) << name << " exists";
    EXPECT_FALSE(hint.empty()) << name;
    // "use a, b or c": each of the words that look like operations is one.
    if (!hint.starts_with("use ")) continue;
    const std::string first(hint.substr(4, hint.find_first_of(" ,({;", 4) - 4));
    const size_t dot = first.find('.');
    const std::string operation = dot == std::string::npos ? first : first.substr(dot + 1);
    EXPECT_TRUE(operation == "the" || exist.contains(operation)) << name << ": " << hint;
  }
}

}  // namespace
}  // namespace bitloop::lua
