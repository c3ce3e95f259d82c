// Runs the tables of oracle.h.
#include "tests/lua/oracle.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <set>

#include "lua/tensor/operation.h"
#include "tests/lua/fixture.h"

namespace bitloop::lua::oracle {
namespace {

const std::vector<std::vector<int64_t>> kShapes = {{},     {0},    {1},       {3, 5},   {7, 1},
                                                   {0, 4}, {4, 4}, {2, 3, 5}, {33, 129}};
const std::vector<std::vector<int64_t>> kGradientShapes = {{},     {1},    {4, 1},
                                                           {3, 5}, {4, 4}, {2, 3, 5}};
enum class Content { kRandom, kZeros, kOutlierRow, kNotFinite, kWhole };
constexpr Content kContents[] = {Content::kRandom, Content::kZeros, Content::kOutlierRow,
                                 Content::kNotFinite, Content::kWhole};
constexpr const char* kContentNames[] = {"random", "zeros", "outlier row", "not finite", "int64"};

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& cases : {elementwise_cases(), reduction_cases(), shape_cases(), matrix_cases()})
    all.insert(all.end(), cases.begin(), cases.end());
  return all;
}

struct Inputs {
  at::Tensor x, y, k;
};

// Numbers that are apart from one another, in an order that depends on `seed`.
at::Tensor spread(at::IntArrayRef shape, double low, double high, int64_t seed) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  const at::Tensor order = at::arange(count, at::kLong) * 7919 + seed;
  const at::Tensor place = count ? at::argsort(at::sin(order.to(at::kDouble)), true) : order;
  const at::Tensor unit =
      (place.to(at::kDouble) + 0.37) / static_cast<double>(std::max<int64_t>(1, count));
  return (low + (high - low) * unit).view(shape).to(at::kFloat);
}

Inputs inputs(const std::vector<int64_t>& shape, Content content) {
  at::Tensor x = spread(shape, -2.03, 1.97, 1);
  if (content == Content::kZeros) x = at::zeros(shape);
  if (content == Content::kOutlierRow && x.dim() && x.size(0)) x.select(0, 0).mul_(1e5);
  if (content == Content::kNotFinite && x.numel()) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const at::Tensor flat = x.view(-1);
    for (int64_t i = 0; i < flat.numel(); i += 4) {
      flat[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? kInfinity : -kInfinity;
    }
  }
  const int64_t last = shape.empty() ? 1 : std::max<int64_t>(1, shape.back());
  const at::Tensor k = at::arange(x.numel(), at::kLong).mul(7).add(3).remainder(last).view(shape);
  if (content == Content::kWhole) x = (spread(shape, -4, 4, 1)).to(at::kLong);
  return {x, spread(shape, 0.4, 1.9, 2), k};
}

// The result number ctx.step of an expression, its type, and how many results there are.
std::string source(const Case& c) {
  return "local Q = {levels = {0}}\n"
         "local types = {float32 = 1, int64 = 2, bool = 3}\n"
         "function Q.weight_quant(x, ctx)\n"
         "  local y, k = ctx.params.y, ctx.params.k\n"
         "  local results = table.pack(" +
         c.expression +
         ")\n"
         "  local result = results[ctx.step + 1]\n"
         "  if result == nil then result = torch.tensor({}) end\n"
         "  if type(result) == 'boolean' then result = result and 1 or 0 end\n"
         "  if type(result) ~= 'userdata' then result = torch.tensor(result) end\n"
         "  return {codes = result, scale = results.n, offset = types[result:dtype()]}\n"
         "end\nreturn Q\n";
}

struct Outcome {
  std::vector<at::Tensor> tensors;  // as float32, in a graph where one was asked for
  std::vector<int> types;           // 1 float32, 2 int64, 3 bool
  std::string error;                // "" when it ran
};

Outcome run_lua(Quantizer& quantizer, const Inputs& in) {
  const std::map<std::string, at::Tensor> params = {{"y", in.y}, {"k", in.k}};
  Outcome outcome;
  for (int64_t step = 0, count = 1; step < count; ++step) {
    Context context;
    context.step = step;
    context.params = &params;
    const Result<Quantized> result = quantizer.weight_quant(in.x, context);
    if (!result) return {{}, {}, result.error().message};
    count = result->scale.item<int64_t>();
    if (count == 0) break;
    outcome.tensors.push_back(result->codes);
    outcome.types.push_back(result->offset.item<int>());
  }
  return outcome;
}

Outcome run_libtorch(const Case& c, const Inputs& in) {
  Outcome outcome;
  try {
    outcome.tensors = c.expected(in.x, in.y, in.k).tensors;
  } catch (const c10::Error& error) {
    outcome.error = error.what_without_backtrace();  // to name the frames takes milliseconds
    return outcome;
  }
  for (const at::Tensor& tensor : outcome.tensors) {
    const at::ScalarType type = tensor.scalar_type();
    outcome.types.push_back(type == at::kLong ? 2 : type == at::kBool ? 3 : 1);
  }
  return outcome;
}

// Whether `got` is `expected`, NaN and signs of infinity included.
bool agrees(const at::Tensor& got, const at::Tensor& expected, double tolerance) {
  if (tolerance == 0) return at::allclose(got, expected, 0, 0, true);
  const at::Tensor finite = expected.masked_fill(expected.isfinite().logical_not(), 0);
  const double largest = finite.numel() ? finite.abs().max().item<double>() : 0;
  // A sum of finite numbers and infinities may be NaN in one order and infinite in another.
  const at::Tensor rest = at::where(expected.isfinite(), got, at::zeros_like(got));
  return at::equal(got.isfinite(), expected.isfinite()) &&
         at::allclose(rest, finite, 0, tolerance * largest);
}

// Where two tensors differ most, for messages.
std::string difference(const at::Tensor& got, const at::Tensor& expected) {
  if (!got.numel()) return "no elements";
  const at::Tensor gap = at::nan_to_num((got - expected).abs(), INFINITY);
  const auto place = gap.argmax().item<int64_t>();
  return fmt::format("element {} of {}: got {}, expected {}", place, got.numel(),
                     got.flatten()[place].item<double>(), expected.flatten()[place].item<double>());
}

// One table a test: a process each is what costs time.
struct Table {
  const char* name;
  std::vector<Case> (*cases)();
};
class OracleTest : public ::testing::TestWithParam<Table> {
 protected:
  // Threads that wait for one another at such small tensors take longer than the work.
  void SetUp() override { at::set_num_threads(1); }
  void TearDown() override { at::set_num_threads(threads_); }
  const int threads_ = at::get_num_threads();
};

std::unique_ptr<Quantizer> load_case(const Case& c) {
  auto loaded = load(source(c));
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded ? std::move(*loaded) : nullptr;
}

void compare_answers(const Case& c, Quantizer& quantizer) {
  int answers = 0;
  for (const std::vector<int64_t>& shape : kShapes) {
    for (const Content content : kContents) {
      SCOPED_TRACE(fmt::format("{} of ({}), {}", c.expression, fmt::join(shape, ", "),
                               kContentNames[static_cast<int>(content)]));
      const Inputs in = inputs(shape, content);
      const Outcome expected = run_libtorch(c, in), got = run_lua(quantizer, in);
      if (content == Content::kWhole && (!c.whole || !expected.error.empty()))
        continue;  // whole numbers become float32 here where LibTorch refuses them
      EXPECT_EQ(got.error.empty(), expected.error.empty())
          << "Lua: " << got.error << "\nLibTorch: " << expected.error;
      if (!got.error.empty()) {
        // An error names the file, the line and the operation.
        EXPECT_THAT(got.error,
                    ::testing::ContainsRegex(
                        "^candidate.lua:[0-9]+: ([a-z_0-9]+|x\\[-?[0-9]+\\]|x [^ ]+ y): ."));
      }
      if (!got.error.empty() || !expected.error.empty()) continue;
      ++answers;
      ASSERT_EQ(got.types, expected.types);
      for (size_t i = 0; i < got.tensors.size(); ++i) {
        const at::Tensor theirs = expected.tensors[i].to(at::kFloat);
        ASSERT_EQ(got.tensors[i].sizes(), theirs.sizes());
        EXPECT_TRUE(agrees(got.tensors[i], theirs, c.tolerance))
            << "result " << i << ": " << difference(got.tensors[i], theirs);
      }
    }
  }
  EXPECT_GE(answers, 4) << c.expression << " is refused for almost all shapes";
}

// The sum of all float results, weighted: what gradients are taken of.
at::Tensor weighted(const std::vector<at::Tensor>& tensors, const std::vector<int>& types) {
  at::Tensor total = at::zeros({}, at::kDouble);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (types[i] != 1) continue;
    const at::Tensor weights = spread(tensors[i].sizes(), -1, 1, 3 + static_cast<int64_t>(i));
    total = total + (tensors[i].to(at::kDouble) * weights).sum();
  }
  return total;
}

// d/dinput of a function of float64 tensors, by central differences.
template <typename F>
at::Tensor numeric_gradient(const at::Tensor& input, F&& value) {
  constexpr double kStep = 1e-6;
  at::Tensor moved = input.to(at::kDouble).clone();
  at::Tensor result = at::zeros_like(moved);
  const at::Tensor flat = moved.view(-1), out = result.view(-1);
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const double at_start = flat[i].item<double>();
    flat[i] = at_start + kStep;
    const double up = value(moved);
    flat[i] = at_start - kStep;
    const double down = value(moved);
    flat[i] = at_start;
    out[i] = (up - down) / (2 * kStep);
  }
  return result;
}

void expect_gradient(const at::Tensor& got, const at::Tensor& numeric) {
  const at::Tensor ours = got.defined() ? got.to(at::kDouble) : at::zeros_like(numeric);
  // float32's error, and that of the difference: about 1e-10 of a value, over a step of 1e-6.
  const double bound = 2e-5 * (1 + numeric.abs().max().item<double>());
  EXPECT_TRUE(at::allclose(ours, numeric, 1e-4, bound)) << difference(ours, numeric);
}

void compare_gradients(const Case& c, Quantizer& quantizer) {
  if (!c.without_gradient.empty()) return;
  int compared = 0;
  for (const std::vector<int64_t>& shape : kGradientShapes) {
    SCOPED_TRACE(fmt::format("{} of ({})", c.expression, fmt::join(shape, ", ")));
    Inputs in = inputs(shape, Content::kRandom);
    in.x = spread(shape, c.low, c.high, 1).requires_grad_();
    in.y.requires_grad_();
    const Outcome got = run_lua(quantizer, in);
    if (!got.error.empty()) continue;  // the other test says whether it may
    const at::Tensor total = weighted(got.tensors, got.types);
    if (!std::isfinite(total.item<double>())) continue;  // the deviation of one number
    ++compared;
    if (total.requires_grad()) total.backward();
    const at::NoGradGuard no_graph;
    const auto value = [&](const at::Tensor& x, const at::Tensor& y) {
      return weighted(c.expected(x, y, in.k).tensors, got.types).item<double>();
    };
    const at::Tensor x = in.x.to(at::kDouble), y = in.y.to(at::kDouble);
    expect_gradient(in.x.grad(),
                    numeric_gradient(x, [&](const at::Tensor& v) { return value(v, y); }));
    expect_gradient(in.y.grad(),
                    numeric_gradient(y, [&](const at::Tensor& v) { return value(x, v); }));
  }
  EXPECT_GE(compared, 1) << c.expression << " is refused for all shapes";
}

TEST_P(OracleTest, AgreesOrBothRefuse) {
  for (const Case& c : GetParam().cases())
    if (const auto quantizer = load_case(c)) compare_answers(c, *quantizer);
}

TEST_P(OracleTest, GradientsAreDifferences) {
  for (const Case& c : GetParam().cases())
    if (const auto quantizer = load_case(c)) compare_gradients(c, *quantizer);
}

INSTANTIATE_TEST_SUITE_P(
    All, OracleTest,
    ::testing::Values(Table{"Elementwise", elementwise_cases}, Table{"Reductions", reduction_cases},
                      Table{"Shapes", shape_cases}, Table{"Matrices", matrix_cases}),
    [](const ::testing::TestParamInfo<Table>& test) { return std::string(test.param.name); });

// The list can't rot: an operation without a case here fails, and so does a case without one.
TEST(OracleListTest, EveryOperationIsCompared) {
  std::set<std::string> operations, compared;
  for (const BoundOperation& bound : bound_operations()) operations.emplace(bound.name);
  for (const Case& c : all_cases()) compared.insert(c.operation);
  EXPECT_EQ(compared, operations);
}

}  // namespace
}  // namespace bitloop::lua::oracle
