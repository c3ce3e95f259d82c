// Random quantizers in the three modes: what a captured program and an integer product give is what
// the function gives, on ordinary and on hostile numbers. BITLOOP_FUZZ_SEEDS=n tries the seeds
// 0 … n-1 in place of a few hundred; BITLOOP_FUZZ_FIRST=k starts at k. A failure prints its file.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "lua/capture/describe.h"
#include "lua/capture/differentiate.h"
#include "tests/trainer/fixture.h"
#include "tests/trainer/model/noisy_graph.h"
#include "tests/trainer/model/random_quantizer.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/capture.h"

namespace bitloop::trainer {
namespace {

// Squares below are lost to float32, where LibTorch's variance has more digits on its way.
constexpr double kUnderflow = 1e-18;
constexpr const char* kArgument = "the argument";
constexpr uint64_t kSeedsOfTheFastTier = 200;

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

at::Generator generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  return at::empty(shape, at::kFloat).normal_(0, 0.5, generator(seed));
}

// One function of one file.
struct Trial {
  uint64_t seed = 0;
  bool weight = true;
  RandomQuantizer made;
  std::unique_ptr<lua::Quantizer> quantizer, unrounded;
  lua::Layer layer;
  NamedTensorMap params, state;
  std::vector<int64_t> shape;

  QuantizingFunction function(lua::Quantizer* of = nullptr) {
    lua::Quantizer* q = of != nullptr ? of : quantizer.get();
    return [this, q](const at::Tensor& x, lua::Recording* recording) {
      const lua::Context context{.step = 3,
                                 .total_steps = 9,
                                 .training = true,
                                 .layer = &layer,
                                 .params = &params,
                                 .state = &state};
      return weight ? q->weight_quant(x, context, recording)
                    : q->activation_quant(x, context, recording);
    };
  }
  std::string text() const {
    return fmt::format("seed {}, {} on ({}, {})\n{}", seed,
                       weight ? "weight_quant" : "activation_quant", shape[0], shape[1], made.lua);
  }
};

// Numbers that a training may meet, and some that it should not.
std::vector<std::pair<const char*, at::Tensor>> inputs(const std::vector<int64_t>& shape,
                                                       uint64_t seed) {
  std::vector<std::pair<const char*, at::Tensor>> all = {
      {"normal", normal(shape, seed)},
      {"small weights", normal(shape, seed + 1) * 0.04},
      {"zeros", at::zeros(shape)},
      {"all equal", at::full(shape, 0.3f)},
      {"tiny", normal(shape, seed + 2) * 1e-7},
      {"huge", normal(shape, seed + 3) * 1e4}};
  at::Tensor mixed = normal(shape, seed + 4);
  for (int64_t r = 0; r < shape[0]; ++r) {
    switch ((static_cast<int64_t>(seed) + r) % 6) {
      case 0:
        mixed[r].zero_();
        break;
      case 1:
        mixed[r][r % shape[1]] = 40.0f;
        break;
      case 2:
        mixed[r].fill_(-0.7f);
        break;
      case 3:
        mixed[r].mul_(1e-6);
        break;
      case 4:
        mixed[r].mul_(8).round_().div_(4);
        break;  // many ties
      default:
        break;
    }
  }
  all.emplace_back("mixed rows", mixed);
  at::Tensor broken = normal(shape, seed + 5);
  broken[shape[0] / 2][shape[1] / 2] = NAN;
  all.emplace_back("one NaN", broken);
  return all;
}

// a and b are the same where both are NaN, or within `allowed` (which may be NaN: anything goes).
at::Tensor differ(const at::Tensor& a, const at::Tensor& b, const at::Tensor& allowed) {
  const at::Tensor same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
  return same.logical_or((a - b).abs().le(allowed)).logical_or(allowed.isnan()).logical_not();
}

struct Excuses {
  int64_t compared = 0, by_noise = 0, near_boundary = 0, equal_rows = 0;
};

// x with rows of equal numbers moved apart by a thousandth; undefined where there are none. What is
// made of the difference of equal numbers is roundings on either side, and a comparison of such is
// decided by them: it must agree beside, and may differ there.
at::Tensor with_unequal_rows(const at::Tensor& x) {
  const at::Tensor flat = x.amax({1}, true).eq(x.amin({1}, true));
  if (!flat.any().item<bool>()) return {};
  const at::Tensor noise = at::empty(x.sizes()).uniform_(-1e-3, 1e-3, generator(3));
  return at::where(flat, x + noise * x.abs().clamp_min(0.1), x);
}

// What a result moves by when each operation on the way to it errs by a few roundings: the largest
// less the smallest of some runs. NaN where only some are, or where that is all there is.
template <typename Noisy>
at::Tensor spread(int runs, const Noisy& noisy) {
  at::Tensor low, high, lost;
  for (int run = 0; run < runs; ++run) {
    const at::Tensor made = noisy(static_cast<uint64_t>(run));
    const at::Tensor nan = made.isnan().to(at::kFloat);
    low = run == 0 ? made : at::fmin(low, made);
    high = run == 0 ? made : at::fmax(high, made);
    lost = run == 0 ? nan : lost + nan;
  }
  const at::Tensor gap = at::where(low.eq(high), at::zeros_like(low), high - low);
  // Nothing but noise: a number as well as none.
  const at::Tensor noise = gap.ge(at::maximum(low.abs(), high.abs()) * 0.5).logical_and(gap.gt(0));
  const at::Tensor some = lost.gt(0).logical_and(lost.lt(runs));
  return gap.masked_fill(some.logical_or(noise), NAN);
}

// Whether `got` is `want` but for roundings: `relative` of its size, or what the operations' errors
// come to. Counts on which ground.
template <typename Noisy>
bool close(const at::Tensor& want, const at::Tensor& got, const at::Tensor& allowed,
           Excuses& excuses, const Noisy& noisy) {
  ++excuses.compared;
  if (!differ(want, got, allowed).any().item<bool>()) return true;
  for (const int runs : {8, 100}) {
    const at::Tensor moves = spread(runs, noisy).reshape(want.sizes()) * 4;
    if (!differ(want, got, allowed + moves).any().item<bool>()) return ++excuses.by_noise, true;
  }
  return false;
}

std::string first_difference(const at::Tensor& want, const at::Tensor& got) {
  const at::Tensor a = want.reshape({-1}), b = got.reshape({-1});
  const at::Tensor off = differ(a, b, a.abs() * 1e-5 + 1e-37);
  if (!off.any().item<bool>()) return "none";
  const int64_t i = off.to(at::kByte).argmax().item<int64_t>();
  return fmt::format("place {} of {}: function {:.9g}, program {:.9g} ({} places)", i, a.numel(),
                     a[i].item<double>(), b[i].item<double>(), off.sum().item<int64_t>());
}

int failures() {
  return testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
}

class Fuzz {
 public:
  void one(uint64_t seed) {
    for (const bool weight : {true, false}) {
      Trial trial = load(seed, weight);
      if (!trial.quantizer) return;
      function(trial);
    }
    integer(seed);
  }

  int64_t captured = 0, eager = 0, refused = 0, gradients = 0, products = 0;
  Excuses excuses;

 private:
  Trial load(uint64_t seed, bool weight) {
    Trial trial;
    trial.seed = seed, trial.weight = weight, trial.made = random_quantizer(seed);
    const RandomQuantizer& made = trial.made;
    trial.shape = {weight ? made.rows : made.tokens, made.columns};
    trial.quantizer = quantizer_from(made.lua);
    if (!trial.quantizer) {
      ADD_FAILURE() << trial.text();
      return trial;
    }
    trial.layer = {.name = "l",
                   .index = 1,
                   .count = 4,
                   .kind = "mlp_fc",
                   .in_features = made.columns,
                   .out_features = made.rows};
    const auto init = trial.quantizer->init(trial.layer, normal({made.rows, made.columns}, seed));
    EXPECT_TRUE(init) << init.error().message << trial.text();
    for (const auto& [name, param] : init->params)
      trial.params[name] = param.value.clone().requires_grad_(true);
    trial.state = init->state;
    return trial;
  }

  void function(Trial& trial) {
    const uint64_t seed = trial.seed;
    const auto all = inputs(trial.shape, seed * 16 + (trial.weight ? 0 : 8));
    lua::Recording recording;
    std::optional<CapturedFunction> program;
    {
      at::NoGradGuard no_grad;
      const auto called = trial.function()(all[0].second, &recording);
      if (!called) {
        ++refused;
        EXPECT_EQ(called.error().code, "script_error") << trial.text();
        Capture capture;
        EXPECT_FALSE(
            try_capture(capture, trial.function(), all[0].second, trial.params, trial.state));
        return;
      }
    }
    if (recording.graph && !recording.graph->reads_step) {
      auto made = CapturedFunction::make(recording.graph);
      if (made) program.emplace(std::move(*made));
    }
    Capture capture;
    const Status tried =
        try_capture(capture, trial.function(), all[0].second, trial.params, trial.state);
    ASSERT_TRUE(tried) << tried.error().message << "\n" << trial.text();
    if (!program) {
      ++eager;
      EXPECT_EQ(capture.state, Capture::kEager) << trial.text();
      EXPECT_FALSE(capture.reason.empty());
      return;
    }
    ++captured;
    const int failures_before = failures();
    for (const auto& [name, x] : all) {
      if (failures() > failures_before) return;
      forward(trial, *program, name, x);
      // A NaN ends a training before anything has a gradient.
      if (program->has_surrogate() && !x.isnan().any().item<bool>())
        backward(trial, *program, name, x);
      // A parameter that training moved.
      at::NoGradGuard no_grad;
      for (auto& [key, param] : trial.params) param.mul_(0.9);
    }
  }

  // Whether a failure on x is one of equal numbers only: then `again` was tried on others.
  template <typename Again>
  bool only_among_equals(const at::Tensor& x, const Again& again) {
    const at::Tensor other = with_unequal_rows(x);
    if (!other.defined()) return false;
    ++excuses.equal_rows;
    again(other);
    return true;
  }

  void forward(Trial& trial, const CapturedFunction& program, const char* name,
               const at::Tensor& x) {
    at::NoGradGuard no_grad;
    const auto again = [&](const at::Tensor& other) { forward(trial, program, name, other); };
    const auto want = trial.function()(x, nullptr);
    ASSERT_TRUE(want) << want.error().message << "\n" << trial.text();
    const lua::Quantized got = program(x, trial.params, trial.state);
    const auto said = [&](const char* what, const at::Tensor& a, const at::Tensor& b) {
      return fmt::format("{} of {}, {}\n{}\n{}", what, name, first_difference(a, b),
                         lua::describe(program.forward().program), trial.text());
    };
    const GraphNumbers numbers{x, {}, &trial.params, &trial.state};
    const auto noisy = [&](int node) {
      return [&, node](uint64_t run) {
        return run_noisily(program.graph(), {&node, 1}, numbers, run)[0];
      };
    };
    using Field = at::Tensor lua::Quantized::*;
    for (const auto& [what, field] :
         {std::pair<const char*, Field>{"scale", &lua::Quantized::scale},
          {"offset", &lua::Quantized::offset}}) {
      const at::Tensor &a = (*want).*field, &b = got.*field;
      ASSERT_EQ(a.defined(), b.defined()) << trial.text();
      if (!a.defined()) continue;
      ASSERT_EQ(a.sizes(), b.sizes()) << trial.text();
      const int node =
          field == &lua::Quantized::scale ? program.graph().scale : program.graph().offset;
      if (close(a, b, a.abs() * 1e-5 + kUnderflow, excuses, noisy(node))) continue;
      if (only_among_equals(x, again)) return;
      FAIL() << said(what, a, b);
    }
    ASSERT_EQ(want->codes.sizes(), got.codes.sizes()) << trial.text();
    const at::Tensor off = differ(want->codes, got.codes, at::full({}, 1e-5f));
    ++excuses.compared;
    if (!off.any().item<bool>()) return;
    // Each must be a number within 1e-5 of a rounding boundary, or as near as float32 tells.
    if (!trial.unrounded) trial.unrounded = quantizer_from(trial.made.unrounded);
    const auto exact = trial.function(trial.unrounded.get())(x, nullptr);
    ASSERT_TRUE(exact) << trial.text();
    const at::Tensor v = exact->codes;
    const at::Tensor fraction = (v - v.floor() - 0.5).abs();
    const at::Tensor off_boundary =
        off.logical_and(fraction.le(v.abs() * 0x1p-22 + 1e-5).logical_not());
    if (!off_boundary.any().item<bool>()) {
      ++excuses.near_boundary;
      return;
    }
    if (close(want->codes, got.codes, at::full({}, 1e-5f), excuses, noisy(program.graph().codes)))
      return;
    if (only_among_equals(x, again)) return;
    FAIL() << said("codes", want->codes, got.codes);
  }

  // All gradients of one g, the argument's first.
  static std::vector<at::Tensor> autograd(Trial& trial, const at::Tensor& x_RK,
                                          const at::Tensor& g) {
    at::AutoGradMode grad(true);
    const at::Tensor x = x_RK.detach().clone().requires_grad_(true);
    const auto returned = trial.function()(x, nullptr);
    if (!returned || !returned->surrogate.requires_grad()) return {};
    std::vector<at::Tensor> wanted = {x};
    for (const auto& [name, tensor] : trial.params) wanted.push_back(tensor);
    return torch::autograd::grad({returned->surrogate}, wanted, {g}, false, false, true);
  }

  void backward(Trial& trial, const CapturedFunction& program, const char* name,
                const at::Tensor& x) {
    const at::Tensor g = normal(x.sizes(), trial.seed + 77);
    const std::vector<at::Tensor> want = autograd(trial, x, g);
    ASSERT_FALSE(want.empty()) << trial.text();
    at::NoGradGuard no_grad;
    const SurrogateGradient got = program.backward(x, g, trial.params, trial.state);
    const auto gradient = lua::differentiate(program.graph(), program.graph().surrogate);
    ASSERT_TRUE(gradient);
    bool broken = false;
    size_t i = 0;
    const auto compare = [&](const std::string& what, const at::Tensor& made) {
      const size_t place = i++;
      // Defined alike: a parameter that no gradient reaches is an error of the file.
      ASSERT_EQ(want[place].defined(), made.defined()) << what << "\n" << trial.text();
      if (!made.defined()) return;
      ++gradients;
      const at::Tensor& a = want[place];
      const double size = a.abs().nan_to_num(0, 0, 0).max().item<double>();
      const auto noisy = [&](uint64_t run) {
        const int node = node_of(*gradient, what);
        if (node < 0) return at::zeros_like(a);
        const GraphNumbers numbers{x, g, &trial.params, &trial.state};
        return run_noisily(gradient->graph, {&node, 1}, numbers, run)[0];
      };
      if (broken || close(a, made, a.abs() * 1e-4 + 1e-4 * size + kUnderflow, excuses, noisy))
        return;
      broken = true;
      const auto again = [&](const at::Tensor& other) { backward(trial, program, name, other); };
      if (only_among_equals(x, again)) return;
      FAIL() << "gradient of " << what << ", " << name << ": " << first_difference(a, made) << "\n"
             << trial.text();
    };
    const int failures_before = failures();
    compare(kArgument, got.argument);
    for (const auto& [key, tensor] : trial.params) {
      if (failures() > failures_before) return;
      const auto found = got.params.find(key);
      compare(key, found == got.params.end() ? at::Tensor() : found->second);
    }
  }

  static int node_of(const lua::GradientGraph& gradient, const std::string& what) {
    if (what == kArgument) return gradient.argument;
    for (const auto& parameter : gradient.parameters)
      if (parameter.name == what) return parameter.node;
    return -1;
  }

  // The layer's forward product: exact, integer, and with the weight's program.
  void integer(uint64_t seed) {
    Trial trial = load(seed, true);
    BitLinear layer;
    layer.layer = trial.layer;
    layer.weight = normal(trial.shape, seed * 16).requires_grad_(true);
    layer.params = trial.params;
    layer.state = trial.state;
    const at::Tensor x = normal({trial.made.tokens, trial.made.columns}, seed * 16 + 8);
    at::NoGradGuard no_grad;
    ForwardContext context{.quantizer = trial.quantizer.get(),
                           .step = 3,
                           .total_steps = 9,
                           .training = true,
                           .products = Products::kExact};
    if (!quantize_weight(layer, context)) return;  // a scale that float16 can't hold, or the like
    const auto exact = bitlinear_forward(layer, x, context);
    const at::Tensor w_value = layer.weight_operand.value, codes = layer.weight_operand.codes;
    context.products = Products::kFloat32;
    const auto integer = bitlinear_forward(layer, x, context);
    ASSERT_EQ(exact.has_value(), integer.has_value()) << trial.text();
    if (!exact) return;
    ++products;
    // Each product of the sum is rounded in float32 on one side, and the sums are added in any
    // order: K + 4 roundings of numbers no larger than the sum of sizes.
    const auto returned = quantize_activation(layer, x, context, false);
    ASSERT_TRUE(returned);
    const at::Tensor size = returned->operand.value.abs().mm(w_value.abs().t());
    at::Tensor allowed = size * (static_cast<double>(x.size(1) + 4) * 0x1p-23) + 1e-37;
    if (layer.row_bias.defined()) allowed = allowed + layer.row_bias.abs() * 0x1p-22;
    EXPECT_FALSE(differ(*exact, *integer, allowed).any().item<bool>())
        << "integer product: " << first_difference(*exact, *integer) << "\n"
        << trial.text();
    context.captured = true;
    const Status by_program = quantize_weight(layer, context);
    ASSERT_TRUE(by_program) << by_program.error().message << "\n" << trial.text();
    if (!at::equal(layer.weight_operand.codes, codes)) return;  // near a boundary: compared above
    const auto captured_y = bitlinear_forward(layer, x, context);
    ASSERT_TRUE(captured_y) << trial.text();
    // A scale may round to the next float16 on either side.
    allowed = allowed + (size + captured_y->abs()) * 2e-3;
    if (layer.row_bias.defined()) allowed = allowed + layer.row_bias.abs() * 2e-3;
    if (layer.weight_operand.offset.defined())
      allowed = allowed + returned->operand.value.abs().sum({1}, true) *
                              layer.weight_operand.offset.abs().max() * 2e-3;
    EXPECT_FALSE(differ(*exact, *captured_y, allowed).any().item<bool>())
        << "captured weights: " << first_difference(*exact, *captured_y) << "\n"
        << trial.text();
  }
};

TEST(Fuzz, RandomQuantizersAgreeInAllModes) {
  const uint64_t first = number_of("BITLOOP_FUZZ_FIRST", 0),
                 count = number_of("BITLOOP_FUZZ_SEEDS", kSeedsOfTheFastTier);
  Fuzz fuzz;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    fuzz.one(seed);
    if (HasFailure() && std::getenv("BITLOOP_FUZZ_SEEDS") == nullptr) break;
  }
  const Excuses& excuses = fuzz.excuses;
  fmt::print(
      "{} captured, {} eager, {} refused; {} gradients, {} products; {} comparisons, {} "
      "excused by roundings, {} near a boundary, {} among equal numbers\n",
      fuzz.captured, fuzz.eager, fuzz.refused, fuzz.gradients, fuzz.products, excuses.compared,
      excuses.by_noise, excuses.near_boundary, excuses.equal_rows);
  if (count < 100) return;
  // The fuzzer must not lose its grip: most files are captured, few comparisons need an excuse.
  EXPECT_GT(fuzz.captured, fuzz.eager);
  EXPECT_LT(fuzz.refused, fuzz.captured / 4);
  EXPECT_GT(fuzz.gradients, fuzz.captured / 2);
  EXPECT_LT(excuses.by_noise + excuses.near_boundary, excuses.compared / 20);
  EXPECT_LE(excuses.equal_rows, 2 + excuses.compared / 1000);
}

}  // namespace
}  // namespace bitloop::trainer
