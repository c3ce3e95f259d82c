// Functions that change under a captured program's feet: by the step, by what training moved, by
// what they remember, by the shape of what they return. Each gives the function's own numbers or
// its own error, never others.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/trainer/fixture.h"
#include "trainer/model/activation.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {
namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  return at::empty(shape, at::kFloat).normal_(0, 0.5, at::detail::createCPUGenerator(seed));
}

struct Changing {
  const char* name;
  const char* body;             // of weight_quant(w, ctx)
  bool captured;                // in the end
  const char* error = nullptr;  // code of the error that the function has from some step on
  const char* head = "";
  const char* fields = "levels = {-1, 0, 1}";
};

void PrintTo(const Changing& c, std::ostream* out) { *out << c.name; }

const Changing kChanging[] = {
    {"branch_on_the_step",
     "local s = w:abs():mean()\nif ctx.step >= 2 then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"factor_of_the_step",
     "local s = w:abs():mean() * (1 + ctx.progress)\nreturn (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_a_parameter",
     "local s = w:abs():mean()\nif ctx.params.s > 0.5 then s = s * 3 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_a_parameter_as_number",
     "local s = ctx.params.s:item() > 0.5 and 0.7 or 0.2\nreturn (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_a_state",
     "local s = w:abs():mean()\nif ctx.state.n >= 2 then s = s * 3 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_an_element_of_the_state",
     "local s = w:abs():mean()\nif ctx.state.odd[1] >= 2 then s = s * 3 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"where_on_a_state",
     "local s = w:abs():mean()\ns = torch.where(ctx.state.n:ge(2), s * 3, s)\n"
     "return (w / s):round():clamp(-1, 1), s",
     true},
    {"branch_on_the_largest",
     "local s = w:abs():mean()\nif w:max():item() > 1.6 then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_a_comparison_of_two",
     "local s, t = w:abs():mean(), w:max()\nif t > 4 * s then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_equality",
     "local s = w:abs():mean()\nif w:equal(w:clamp(-1.6, 1.6)) then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_the_text_of_a_tensor",
     "local s = w:abs():mean()\nif #tostring(w:max()) > 14 then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_the_gradient_mode",
     "local s = w:abs():mean()\nif w:requires_grad() then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"branch_on_the_layer",
     "local s = w:abs():mean()\nif ctx.layer.index == 1 then s = s * 2 end\n"
     "return (w / s):round():clamp(-1, 1), s",
     true},
    {"length_of_a_list",
     "local s = w:abs():mean() * #LIST\nfor _, v in ipairs(LIST) do s = s + v end\n"
     "return (w / s):round():clamp(-1, 1), s",
     true, nullptr, "local LIST = {0.1, 0.2, 0.3}"},
    {"a_tensor_of_the_file",
     "local s = w:abs():mean() * T + TABLE.inner[2]\nreturn (w / s):round():clamp(-1, 1), s", true,
     nullptr, "local T = torch.tensor(0.7)\nlocal TABLE = {inner = {1, torch.tensor(0.1)}}"},
    {"sum_of_a_parameter_of_another_shape",
     "local s = ctx.params.odd:abs():sum()\nreturn (w / s):round():clamp(-1, 1), s", false},
    {"state_of_another_shape",
     "local s = ctx.state.odd:mean():abs() + 0.1\nreturn (w / s):round():clamp(-1, 1), s", false},
    {"element_of_a_parameter",
     "local s = ctx.params.odd[2]:abs() + 0.1\nreturn (w / s):round():clamp(-1, 1), s", false},
    {"parameter_and_state",
     "local s = ctx.params.s:abs() * w:abs():mean() + ctx.state.n * 0.1\n"
     "return (w / s):round():clamp(-1, 1), s",
     true},
    {"all_parameters_by_name",
     "local s = w:abs():mean()\n"
     "for name, p in pairs(ctx.params) do if name == 's' then s = s * p:abs() end end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"row_parameters_beside_groups",  // a mean over 24 numbers where the walk has 120 rows
     "local b = bitloop.blocks(w, 8)\n"
     "local s = b:abs():mean{dim = -1, keepdim = true} * ctx.params.rows:mean():abs()\n"
     "return (b / s):round():clamp(-1, 1):view_as(w), s:squeeze(-1)",
     false, nullptr, "", "levels = {-1, 0, 1}, group = 8"},
    {"the_argument_itself", "return w, w:abs():mean()", true, "rejected"},
    {"a_view_of_the_argument", "return w:reshape(w:size()):clone(), w:abs():mean()", true,
     "rejected"},
    {"an_expanded_scale",
     "local s = w:abs():mean()\nreturn (w / s):round():clamp(-1, 1), s:expand(w:size(0), 1)",
     false},
    {"an_expanded_scale_too_fine",
     "local s = w:abs():mean()\nreturn (w / s):round():clamp(-1, 1), s:expand(w:size())", false,
     "rejected"},
    {"transposed_codes", "local s = w:abs():mean()\nreturn (w / s):round():clamp(-1, 1):t(), s",
     false, "script_error"},
    {"codes_in_another_shape",
     "local s = w:abs():mean()\n"
     "return (w / s):round():clamp(-1, 1):reshape(1, w:size(0), w:size(1)), s",
     false, "script_error"},
    {"surrogate_in_another_shape",
     "local s = w:abs():mean()\n"
     "return {codes = (w / s):round():clamp(-1, 1), scale = s, surrogate = (w * 2):flatten()}",
     false, "script_error"},
    {"shape_by_the_step",
     "local s = w:abs():mean()\nlocal c = (w / s):round():clamp(-1, 1)\n"
     "if ctx.step >= 3 then c = c:flatten() end\nreturn c, s",
     false, "script_error"},
    {"scale_shape_by_the_step",
     "local s = w:abs():mean()\n"
     "if ctx.step >= 3 then s = w:abs():mean{dim = 1, keepdim = true} end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false},
    {"an_error_by_the_step",
     "local s = w:abs():mean()\nif ctx.step >= 3 then error('late') end\n"
     "return (w / s):round():clamp(-1, 1), s",
     false, "script_error"},
    {"a_clamp_before_the_rounding",
     "local s = w:abs():mean()\nreturn (w / s):clamp(-1, 1):round(), s", true},
};

class ChangingFunction : public testing::TestWithParam<Changing> {
 protected:
  static std::string file() {
    const Changing& c = GetParam();
    return std::string(c.head) + "\nlocal Q = {" + c.fields +
           "}\nfunction Q.weight_quant(w, ctx)\n" + c.body + "\nend\nreturn Q\n";
  }
};

BitLinear layer_of(int64_t index) {
  BitLinear layer;
  layer.layer = {.name = "l",
                 .index = index,
                 .count = 2,
                 .kind = "mlp_fc",
                 .in_features = 40,
                 .out_features = 24};
  return layer;
}

// What training does between two steps: other weights, parameters changed in place or replaced, a
// new state.
void move(BitLinear& layer, int64_t step) {
  const auto grown = static_cast<float>(step);
  layer.weight = (normal({24, 40}, 40 + step) * (1 + 0.1 * grown)).requires_grad_(true);
  const at::Tensor s = at::full({}, 0.3f + 0.15f * grown);
  if (step % 2 == 1 && layer.params.contains("s")) {
    at::NoGradGuard no_grad;
    layer.params["s"].copy_(s);
  } else {
    layer.params["s"] = s.requires_grad_(true);
  }
  layer.params["odd"] = (at::arange(1, 4, at::kFloat) * 0.1 * (grown + 1)).requires_grad_(true);
  layer.params["rows"] = (normal({24, 1}, 3).abs() + grown).requires_grad_(true);
  layer.state["n"] = at::full({}, grown);
  layer.state["odd"] = at::full({3}, grown);
}

TEST_P(ChangingFunction, IsNeverMistakenForAnother) {
  const Changing& c = GetParam();
  const auto quantizer = quantizer_from(file());
  for (const int64_t index : {0, 1}) {
    BitLinear by_program = layer_of(index), by_function = layer_of(index);
    std::string error;
    for (int64_t step = 0; step < 6; ++step) {
      move(by_program, step);
      move(by_function, step);
      ForwardContext context{
          .quantizer = quantizer.get(), .step = step, .total_steps = 6, .training = true};
      const Status eager = quantize_weight(by_function, context);
      context.captured = true;
      const Status captured = quantize_weight(by_program, context);
      ASSERT_EQ(eager.has_value(), captured.has_value()) << "step " << step;
      if (!eager) {
        EXPECT_EQ(captured.error().message, eager.error().message);
        error = eager.error().code;
        continue;
      }
      const Operand &want = by_function.weight_operand, &got = by_program.weight_operand;
      EXPECT_TRUE(at::equal(want.codes, got.codes)) << "step " << step;
      EXPECT_EQ(want.scale.sizes(), got.scale.sizes()) << "step " << step;
      EXPECT_TRUE(at::allclose(want.scale, got.scale, 1e-3)) << "step " << step;  // float16
    }
    EXPECT_EQ(error, c.error == nullptr ? "" : c.error);
    if (c.captured) {
      EXPECT_EQ(by_program.weight_capture.state, Capture::kCaptured)
          << by_program.weight_capture.reason;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, ChangingFunction, testing::ValuesIn(kChanging),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(ChangingFunction, EvaluationSeesItsOwnBranch) {
  // Programs run in training only.
  const auto quantizer = quantizer_from(
      "local Q = {levels = {-1, 0, 1}}\nfunction Q.weight_quant(w, ctx)\n"
      "local s = w:abs():mean()\nif ctx.training then s = s * 2 end\n"
      "return (w / s):round():clamp(-1, 1), s end\nreturn Q");
  BitLinear layer = layer_of(0);
  move(layer, 0);
  ForwardContext context{.quantizer = quantizer.get(), .training = true, .captured = true};
  ASSERT_TRUE(quantize_weight(layer, context));
  const at::Tensor trained = layer.weight_operand.scale;
  ASSERT_TRUE(quantize_weight(layer, context));
  EXPECT_TRUE(layer.weight_program);
  context.training = context.captured = false;
  ASSERT_TRUE(quantize_weight(layer, context));
  EXPECT_TRUE(at::allclose(layer.weight_operand.scale * 2, trained, 1e-3));
}

TEST(ChangingFunction, OneThatCountsItsCallsIsSeen) {
  // A program does not count; that the function does is found by the digest of what it can reach.
  for (const char* counter : {"n = n + 1", "kept = kept or 2", "if w:size(0) > 1 then n = 7 end"}) {
    const auto quantizer =
        quantizer_from(std::string("local n, kept = 0, nil\nlocal Q = {levels = {-1, 0, 1}}\n"
                                   "function Q.weight_quant(w, ctx)\n") +
                       counter +
                       "\nlocal s = w:abs():mean() * (1 + n * 0.1)\n"
                       "return (w / s):round():clamp(-1, 1), s, kept and nil end\nreturn Q");
    ASSERT_TRUE(quantizer);
    const std::string before = quantizer->state_digest();
    BitLinear layer = layer_of(0);
    move(layer, 0);
    const ForwardContext context{.quantizer = quantizer.get(), .training = true, .captured = true};
    (void)quantize_weight(layer, context);
    EXPECT_NE(quantizer->state_digest(), before) << counter;
  }
}

TEST(ChangingFunction, ATensorKeptFromAnEarlierCallIsAnError) {
  const auto quantizer = quantizer_from(
      "local kept\nlocal Q = {levels = {-1, 0, 1}}\nfunction Q.weight_quant(w, ctx)\n"
      "kept = kept or w:abs():mean()\nreturn (w / kept):round():clamp(-1, 1), kept end\nreturn Q");
  BitLinear layer = layer_of(0);
  move(layer, 0);
  const ForwardContext context{.quantizer = quantizer.get(), .training = true, .captured = true};
  Status status = quantize_weight(layer, context);
  if (status) status = quantize_weight(layer, context);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "script_error");
}

// An activation's rows by program and by function, the second batch unlike the first.
TEST(ChangingFunction, ActivationsFollowTheirRows) {
  const char* bodies[] = {
      "local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127\n"
      "return (x / s):round():clamp(-128, 127), s",
      "local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127\n"
      "if x:max() > 3 then s = s * 2 end\nreturn (x / s):round():clamp(-128, 127), s",
      "local s = ctx.params.odd:sum():abs() * 0.01\nreturn (x / s):round():clamp(-128, 127), s",
      "local s = ctx.params.s:abs() * 0.01\nreturn (x / s):clamp(-128, 127):round(), s"};
  for (const char* body : bodies) {
    const auto quantizer = quantizer_from(
        std::string("local Q = {levels = {-1, 0, 1}}\nfunction Q.weight_quant(w)\n"
                    "local s = w:abs():mean()\nreturn (w / s):round():clamp(-1, 1), s\nend\n"
                    "function Q.activation_quant(x, ctx)\n") +
        body + "\nend\nreturn Q");
    BitLinear layer = layer_of(0);
    for (int64_t step = 0; step < 3; ++step) {
      move(layer, step);
      ForwardContext context{.quantizer = quantizer.get(),
                             .training = true,
                             .products = Products::kBfloat16,
                             .captured = true};
      ASSERT_TRUE(quantize_weight(layer, context));
      const at::Tensor x = normal({10, 40}, 90 + static_cast<uint64_t>(step)) * (1 + 3 * step);
      PackedActivation packed;
      ActivationGradient gradient;
      const auto produce = [&](int64_t first, int64_t count, float* out) {
        std::copy_n(x.const_data_ptr<float>() + first * 40, count * 40, out);
      };
      ASSERT_TRUE(quantize_activation_rows(layer, produce, 10, context, packed, gradient));
      context.captured = false;
      const auto eager = quantize_activation(layer, x, context, true);
      ASSERT_TRUE(eager);
      ASSERT_TRUE(packed.integer);
      const at::Tensor off = packed.int8.view({10, 40}).ne(eager->operand.codes_int8);
      EXPECT_LE(off.sum().item<int64_t>(), 1) << body << " step " << step;
      EXPECT_TRUE(at::allclose(packed.scale, eager->operand.int8_scale, 1e-3)) << body;
    }
  }
}

TEST(ChangingFunction, ABrokenWeightIsNotMadeGood) {
  // A NaN must come out of clamps and maxima as one, or a training that has diverged goes on.
  const char* bodies[] = {
      "local s = w:abs():mean()\nreturn (w / s):clamp(-1, 1):round(), s",
      "local s = w:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}\n"
      "return torch.where((w / s):gt(0.3), 1, -1), s",
      "local s = w:abs():amax():clamp{min = 1e-5}\nreturn torch.where(w:gt(s / 3), 1, -1), s",
      "local s = w:amin{dim = 1, keepdim = true}:abs()\nreturn torch.where(w:gt(s / 3), 1, -1), s",
      "local s = torch.maximum(w:abs():mean(), torch.tensor(0.1))\n"
      "return torch.where(w:gt(s), 1, -1), s"};
  for (const char* body : bodies) {
    const auto quantizer = quantizer_from(std::string("local Q = {levels = {-1, 0, 1}}\n"
                                                      "function Q.weight_quant(w)\n") +
                                          body + "\nend\nreturn Q");
    BitLinear layer = layer_of(0);
    move(layer, 0);
    const ForwardContext context{.quantizer = quantizer.get(), .training = true, .captured = true};
    ASSERT_TRUE(quantize_weight(layer, context));
    ASSERT_EQ(layer.weight_capture.state, Capture::kCaptured) << layer.weight_capture.reason;
    layer.weight.detach()[3][5] = NAN;
    const Status broken = quantize_weight(layer, context);
    ASSERT_FALSE(broken) << body;
    EXPECT_EQ(broken.error().code, "diverged") << body;
  }
}

}  // namespace
}  // namespace bitloop::trainer
