// Captured programs against the eager functions they were recorded from: the three modes must
// agree.
#include "trainer/model/capture.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "lua/capture/describe.h"
#include "tests/trainer/model/capture_trial.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

struct Method {
  const char* name;
  const char* body;
  const char* fields = "levels = {-1, 0, 1}";
  bool surrogate = false;
};

class CapturedMethod : public testing::TestWithParam<Method> {};

const Method kMethods[] = {
    {"absmean",
     "local s = w:abs():mean():clamp{min = 1e-5}\n"
     "return (w / s):round():clamp{min = -1, max = 1}, s"},
    {"absmax_of_rows",
     "local s = w:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}\n"
     "return (w / s):round(), s"},
    {"sign", "return torch.where(w:ge(0), 1, -1), w:abs():mean{dim = 1, keepdim = true}"},
    {"thirds",
     "local s = w:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5}\n"
     "local p = ((w / s * 3 + 3) / 2):round():clamp{min = 0, max = 3}\n"
     "return (p * 2 - 3) / 3, s",
     "levels = {-1, -1/3, 1/3, 1}"},
    {"twn",
     "local d = 0.7 * w:abs():mean{dim = 1, keepdim = true}\n"
     "local on = w:abs():gt(d)\n"
     "local s = (w:abs() * on):sum{dim = 1, keepdim = true} / "
     "on:sum{dim = 1, keepdim = true}:clamp{min = 1}\n"
     "return w:sign() * on, s"},
    {"groups",
     "local b = bitloop.blocks(w, 8)\n"
     "local s = b:abs():mean{dim = -1, keepdim = true}:clamp{min = 1e-5}\n"
     "return (b / s):round():clamp(-1, 1):reshape(w:size()), s:squeeze(-1)",
     "levels = {-1, 0, 1}, group = 8"},
    {"flat_groups",
     "local b = w:reshape(-1, 16)\n"
     "local s = b:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}\n"
     "return (b / s):round():clamp(-1, 1):view_as(w), s",
     "levels = {-1, 0, 1}, group = 16, flat_groups = true"},
    {"rms_trust_mask",
     "local s = w:square():mean{dim = 1, keepdim = true}:sqrt() * 1.2\n"
     "local q = (w / s):round():clamp(-1, 1)\n"
     "local mask = (w - q * s):abs():le(s / 2)\n"
     "return {codes = q, scale = s, surrogate = w * mask:float()}",
     "levels = {-1, 0, 1}", true},
    {"ste_window",
     "local s = w:abs():mean():clamp{min = 1e-5}:detach()\n"
     "local soft = (w / s):clamp(-1.2, 1.2) * s\n"
     "return {codes = (w / s):round():clamp(-1, 1), scale = s, surrogate = soft}",
     "levels = {-1, 0, 1}", true},
    {"soft_tanh",
     "local s = w:std{dim = 1, keepdim = true}\n"
     "local x = w / s\n"
     "local soft = (torch.tanh((x - 0.5) / 0.3) + torch.tanh((x + 0.5) / 0.3)) / 2\n"
     "return {codes = x:round():clamp(-1, 1), scale = s:detach(), surrogate = soft * s}",
     "levels = {-1, 0, 1}", true},
    {"normed",
     "local s = w:norm(2, -1, true) / 4\n"
     "local sg = torch.sigmoid(w * 3) * w:amax() - torch.exp(-w:square()) / (2 + w:abs())\n"
     "return {codes = (w / s):round():clamp(-1, 1), scale = s, surrogate = sg}",
     "levels = {-1, 0, 1}", true},
    {"centred",
     "local m = w:mean{dim = 1, keepdim = true}\n"
     "local c = w - m\n"
     "local s = c:abs():amax{dim = 1, keepdim = true}\n"
     "return {codes = (c / s):round(), scale = s, offset = m, "
     "surrogate = torch.maximum(c, w * 0.5) + m}",
     "levels = {-1, 0, 1}", true},
};

TEST_P(CapturedMethod, AgreesWithTheFunction) {
  const Method& method = GetParam();
  Trial made = trial(file_of(method.body, method.fields));
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  const CapturedFunction& captured = *made.capture.function;
  EXPECT_EQ(captured.has_surrogate(), method.surrogate);
  at::NoGradGuard no_grad;
  // Other numbers than those of the capture: an outlier, zeros, tiny and large values.
  at::Tensor other = normal({24, 40}, 11);
  other[3][5] = 60.0f;
  other[4].zero_();
  other[5].mul_(1e-6f);
  other[6].mul_(1e4f);
  for (const at::Tensor& x : {made.w, other}) {
    const auto eager = made.function()(x, nullptr);
    ASSERT_TRUE(eager) << eager.error().message;
    const lua::Quantized program = captured(x, made.params, made.state);
    EXPECT_EQ(program.scale.sizes(), eager->scale.sizes());
    EXPECT_TRUE(at::allclose(program.scale, eager->scale, 1e-5, 1e-8, true));
    const at::Tensor off = (program.codes - eager->codes).abs().gt(1e-5);
    EXPECT_LE(off.sum().item<double>(), 1.0);  // a number at a rounding boundary
    ASSERT_EQ(eager->offset.defined(), program.offset.defined());
    if (eager->offset.defined()) {
      EXPECT_TRUE(at::allclose(program.offset, eager->offset, 1e-5, 1e-7));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, CapturedMethod, testing::ValuesIn(kMethods),
                         [](const auto& method) { return std::string(method.param.name); });

TEST(Capture, AnyNumberOfThreadsGivesTheSameBits) {
  Trial made = trial(file_of(kMethods[0].body), {300, 130});
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  at::NoGradGuard no_grad;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const lua::Quantized one = (*made.capture.function)(made.w, {}, {});
  at::set_num_threads(2);
  const lua::Quantized two = (*made.capture.function)(made.w, {}, {});
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one.codes, two.codes));
  EXPECT_TRUE(at::equal(one.scale, two.scale));
}

TEST(Capture, LearntStepSizesReceiveTheirGradient) {
  // LSQ (Esser et al. 2020): a step a row, and one for all columns' weights.
  Trial made =
      trial(file_of("local s = ctx.params.s:abs() + 1e-6\nlocal q = (w / s):clamp(-1, 1)\n"
                    "return {codes = q:round(), scale = s:detach(), "
                    "surrogate = bitloop.ste_round(q) * s + ctx.params.g * w + w * ctx.params.c}"));
  made.params = {{"s", (normal({24, 1}, 3).abs() + 0.1).requires_grad_(true)},
                 {"g", at::full({}, 0.3f).requires_grad_(true)},
                 {"c", normal({40}, 5).requires_grad_(true)}};
  ASSERT_TRUE(made.run());
  ASSERT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
  const at::Tensor g = normal({24, 40}, 9);
  const SurrogateGradient got = made.capture.function->backward(made.w, g, made.params, {});
  const at::Tensor w = made.w.clone().requires_grad_(true);
  const auto eager = made.function()(w, nullptr);
  ASSERT_TRUE(eager);
  eager->surrogate.backward(g);
  EXPECT_TRUE(at::allclose(got.argument, w.grad(), 1e-4, 1e-5));
  for (const auto& [name, tensor] : made.params) {
    ASSERT_TRUE(got.params.contains(name)) << name;
    EXPECT_TRUE(at::allclose(got.params.at(name), tensor.grad(), 1e-3, 1e-4)) << name;
  }
}

struct Uncaptured {
  const char* body;
  const char* reason;
};

TEST(Capture, SaysWhyAFunctionStaysEager) {
  const Uncaptured kEager[] = {
      {"local s = w:abs():mean():item()\nreturn (w / s):round():clamp(-1, 1), s", "item"},
      {"local s = w:abs():mean()\nif s > 0.1 then s = s * 2 end\n"
       "return (w / s):round():clamp(-1, 1), s",
       "<"},
      {"local s = w:abs():mean() * (1 + ctx.progress)\nreturn (w / s):round():clamp(-1, 1), s",
       "ctx.step"},
      {"local n = 0\nfor k, v in pairs(ctx) do if k == 'step' then n = v end end\n"
       "local s = w:abs():mean() * (1 + n)\nreturn (w / s):round():clamp(-1, 1), s",
       "ctx.step"},
      {"local s = w:abs():quantile(0.8)\nreturn (w / s):round():clamp(-1, 1), s", "quantile"},
      {"local s = w:t():abs():mean()\nreturn (w / s):round():clamp(-1, 1), s", "t on"},
      {"local s = w:abs():mean{dim = 0, keepdim = true}:mean()\n"
       "return (w / s):round():clamp(-1, 1), s",
       "mean"},
      {"local s = torch.cat({w, w}, 0):abs():mean()\nreturn (w / s):round():clamp(-1, 1), s",
       "list of tensors"},
      {"local s = w[0]:abs():mean()\nreturn (w / s):round():clamp(-1, 1), s", "x[i]"},
      {"local s = #tostring(w) * 0.01\nreturn (w / s):round():clamp(-1, 1), s", "tostring"},
  };
  for (const Uncaptured& one : kEager) {
    Trial made = trial(file_of(one.body));
    ASSERT_TRUE(made.run()) << one.body;
    EXPECT_EQ(made.capture.state, Capture::kEager) << one.body;
    EXPECT_THAT(made.capture.reason, HasSubstr(one.reason)) << one.body;
  }
}

TEST(Capture, ABroadcastOverTheWrongDimensionIsNotMisread) {
  // Square, without keepdim: the row sums broadcast along the columns.
  Trial made = trial(file_of("local s = w:abs():amax{dim = 1}\n"
                             "return (w / s):round():clamp(-1, 1), w:abs():mean()"),
                     {32, 32});
  ASSERT_TRUE(made.run());
  EXPECT_EQ(made.capture.state, Capture::kEager);
}

TEST(Capture, AFailingFunctionKeepsItsError) {
  Trial made = trial(file_of("return w:nothing(), 1"));
  const Status status = made.run();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "script_error");
}

TEST(Capture, StreamsRowsWithoutTheMatrix) {
  auto quantizer = quantizer_from(kTernaryLua);
  const at::Tensor x = normal({50, 96}, 21);
  const QuantizingFunction function = [&](const at::Tensor& t, lua::Recording* recording) {
    return quantizer->activation_quant(t, {}, recording);
  };
  Capture capture;
  ASSERT_TRUE(try_capture(capture, function, x, {}, {}));
  ASSERT_EQ(capture.state, Capture::kCaptured) << capture.reason;
  ASSERT_TRUE(capture.function->streams());
  const auto eager = function(x, nullptr);
  at::Tensor codes = at::full({50, 96}, 99.0f), seen = at::zeros({50});
  const at::Tensor scale = capture.function->stream(
      50, 96,
      [&](int64_t first, int64_t count, float* rows) {
        std::copy_n(x.const_data_ptr<float>() + first * 96, count * 96, rows);
      },
      [&](int64_t first, int64_t count, const float* from, const float* scales) {
        std::copy_n(from, count * 96, codes.data_ptr<float>() + first * 96);
        std::copy_n(scales, count, seen.data_ptr<float>() + first);
      },
      {}, {});
  EXPECT_TRUE(at::equal(seen, scale));
  EXPECT_LE((codes - eager->codes).abs().gt(1e-5).sum().item<double>(), 1.0);
  EXPECT_TRUE(at::allclose(scale.view({50, 1}), eager->scale, 1e-6, 0));
  // The whole function is one walk: a reduction, two steps on rows, one on the codes.
  EXPECT_THAT(lua::describe(capture.function->forward().program), HasSubstr("row_abs_maximum"));
  EXPECT_THAT(lua::describe(capture.function->forward().program), HasSubstr("scale_round"));
}

// Files that stay eager, by the operation that can't be captured.
const std::map<std::string, std::string> kStaysEager = {{"kmeans", "narrow"},
                                                        {"nativebit", "narrow"},
                                                        {"percentile85", "quantile"},
                                                        {"tanh_sigmoid", "ctx.step"},
                                                        {"ternary_l2", "sort"}};

TEST(Capture, SixteenBitCodesAreDividedAsTheFunctionDoes) {
  Trial made =
      trial(file_of("local s = w:abs():amax{dim = 1, keepdim = true} / 32767\n"
                    "return (w / s):round():clamp(-32768, 32767), s"));
  ASSERT_TRUE(made.run());
  EXPECT_EQ(made.capture.state, Capture::kCaptured) << made.capture.reason;
}

TEST(Capture, EveryShippedFunctionIsCaptured) {
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    const std::string file = entry.path().stem();
    const auto quantizer = shipped_quantizer(file);
    const at::Tensor w = normal({64, 128}, 5) * 0.04;
    const lua::Layer layer{
        .name = "l", .kind = "mlp_fc", .in_features = w.size(1), .out_features = w.size(0)};
    NamedTensorMap params, state;
    if (quantizer->has("init")) {
      const auto made = quantizer->init(layer, w);
      ASSERT_TRUE(made) << file << ": " << made.error().message;
      for (const auto& [name, param] : made->params)
        params[name] = param.value.clone().requires_grad_(true);
      state = made->state;
    }
    for (const char* name : {"weight_quant", "activation_quant"}) {
      if (!quantizer->has(name)) continue;
      Capture capture;
      const bool weights = name[0] == 'w';
      ASSERT_TRUE(try_capture(
          capture,
          [&](const at::Tensor& t, lua::Recording* recording) {
            const lua::Context context{.layer = &layer, .params = &params, .state = &state};
            return weights ? quantizer->weight_quant(t, context, recording)
                           : quantizer->activation_quant(t, context, recording);
          },
          weights ? w : normal({64, 128}, 6), params, state))
          << file;
      const auto eager = weights ? kStaysEager.find(file) : kStaysEager.end();
      if (eager == kStaysEager.end()) {
        EXPECT_EQ(capture.state, Capture::kCaptured)
            << file << " " << name << ": " << capture.reason;
      } else {
        EXPECT_EQ(capture.state, Capture::kEager) << file;
        EXPECT_THAT(capture.reason, HasSubstr(eager->second)) << file;
      }
    }
  }
}

}  // namespace
}  // namespace bitloop::trainer
