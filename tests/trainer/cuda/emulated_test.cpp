// Generated kernels against their plain loops, where no GPU is: every thread of every block runs.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/trainer/cuda/emulator.h"
#include "tests/trainer/fixture.h"
#include "trainer/cuda/row_source.h"
#include "trainer/cuda/weight_source.h"
#include "trainer/kernels/absmax_rows.h"
#include "trainer/model/capture.h"
#include "trainer/model/quantize.h"

namespace bitloop::trainer {
namespace {

using kernels::RowsIn;

kernels::Bf16* raw(const at::Tensor& tensor) {
  return reinterpret_cast<kernels::Bf16*>(tensor.data_ptr<at::BFloat16>());
}

struct Captured {
  std::unique_ptr<lua::Quantizer> quantizer;
  Capture capture;
};

Captured capture(const std::string& name, const at::Tensor& x, bool weights) {
  Captured made{.quantizer = shipped_quantizer(name), .capture = {}};
  static const NamedTensorMap none;
  const lua::Layer layer{
      .name = "l", .kind = "mlp_fc", .in_features = x.size(1), .out_features = x.size(0)};
  const lua::Context context{.training = true, .layer = &layer, .params = &none, .state = &none};
  EXPECT_TRUE(try_capture(
      made.capture,
      [&](const at::Tensor& given, lua::Recording* recording) {
        return weights ? made.quantizer->weight_quant(given, context, recording)
                       : made.quantizer->activation_quant(given, context, recording);
      },
      x, none, none));
  return made;
}

struct RowsMade {
  at::Tensor value, codes, scale, mean, rstd, refused;
  RowsMade(int64_t R, int64_t K)
      : value(at::zeros({R, K}, at::kBFloat16)),
        codes(at::zeros({R, K}, at::kChar)),
        scale(at::zeros({R})),
        mean(at::zeros({R})),
        rstd(at::zeros({R})),
        refused(at::zeros({1}, at::kInt)) {}
};

RowsMade emulate(RowsIn::Kind kind, const kernels::RowQuantizer* quantizer, const at::Tensor& x,
                 const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t R = x.size(0), K = x.size(1);
  RowsMade made(R, K);
  const cuda::Emulator emulator(cuda::row_kernel_source(kind, quantizer, K),
                                {cuda::kRowKernelName});
  const cuda::RowKernelShape shape = cuda::row_kernel_shape(K);
  cuda::RowKernelArguments a;
  a.x = x.data_ptr(), a.weight = weight.data_ptr<float>(), a.bias = bias.data_ptr<float>();
  a.mean = made.mean.data_ptr<float>(), a.rstd = made.rstd.data_ptr<float>();
  a.value = made.value.data_ptr();
  if (quantizer != nullptr) a.codes = made.codes.data_ptr(), a.scale = made.scale.data_ptr<float>();
  a.refused = made.refused.data_ptr<int32_t>();
  a.epsilon = 1e-5f, a.rows = R;
  emulator.run(cuda::kRowKernelName, (R + shape.rows - 1) / shape.rows, shape.threads, shape.rows,
               a);
  return made;
}

RowsMade plainly(RowsIn::Kind kind, const kernels::RowQuantizer* quantizer, const at::Tensor& x,
                 const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t R = x.size(0), K = x.size(1);
  RowsMade made(R, K);
  const auto kernels = kernels::reference_kernels();
  std::string why;
  const auto compiled = quantizer != nullptr ? kernels->compile(*quantizer, why) : nullptr;
  kernels->quantize_rows({.kind = kind,
                          .x = raw(x),
                          .weight = weight.data_ptr<float>(),
                          .bias = bias.data_ptr<float>(),
                          .mean = made.mean.data_ptr<float>(),
                          .rstd = made.rstd.data_ptr<float>()},
                         R, K, compiled.get(), {},
                         {.value = raw(made.value),
                          .codes = made.codes.data_ptr<int8_t>(),
                          .scale = made.scale.data_ptr<float>(),
                          .refused = made.refused.data_ptr<int32_t>()});
  return made;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return (x - y).norm().item<double>() / (y.norm().item<double>() + 1e-30);
}

void compare(const RowsMade& got, const RowsMade& want, bool quantised, bool norm) {
  EXPECT_LT(distance(got.value, want.value), 1e-2);
  EXPECT_EQ(got.refused.item<int32_t>(), want.refused.item<int32_t>());
  if (norm) {
    EXPECT_LT(distance(got.mean, want.mean), 1e-4);
    EXPECT_LT(distance(got.rstd, want.rstd), 1e-5);
  }
  if (!quantised) return;
  const at::Tensor gap = (got.codes.to(at::kInt) - want.codes.to(at::kInt)).abs();
  EXPECT_LE(gap.max().item<int32_t>(), 1);
  EXPECT_LE(gap.sum().item<int64_t>(), 2 + gap.numel() / 500);  // at a boundary between two
  EXPECT_LT(distance(got.scale, want.scale), 2e-3);
}

// Gradients' rows, as products of int8 read them.
TEST(EmulatedRows, OfGradientsAreThePlainOnes) {
  at::manual_seed(5);
  for (const int64_t K : {64, 768, 4096}) {
    SCOPED_TRACE(K);
    at::Tensor x = (at::randn({6, K}) * 1e-4).to(at::kBFloat16);
    x[2].zero_();
    const at::Tensor none = at::zeros({K});
    const kernels::RowQuantizer quantizer = kernels::absmax_rows(K);
    compare(emulate(RowsIn::kPlain, &quantizer, x, none, none),
            plainly(RowsIn::kPlain, &quantizer, x, none, none), true, false);
  }
}

TEST(EmulatedRows, AreThePlainOnes) {
  at::manual_seed(3);
  const int64_t R = 6;  // one block of four rows and a half
  for (const int64_t K : {64, 768, 1600, 3072}) {
    const at::Tensor x = (at::randn({R, K}) * 2).to(at::kBFloat16), weight = at::rand({K}) + 0.5,
                     bias = at::randn({K}) * 0.1;
    for (const char* name : {"", "ternary"}) {
      std::optional<kernels::RowQuantizer> quantizer;
      if (*name != '\0') {
        const Captured captured = capture(name, at::randn({24, K}), false);
        ASSERT_EQ(captured.capture.state, Capture::kCaptured);
        quantizer = {.program = captured.capture.function->forward().program, .K = K};
      }
      for (const RowsIn::Kind kind : {RowsIn::kPlain, RowsIn::kLayerNorm, RowsIn::kGelu}) {
        SCOPED_TRACE(fmt::format("{} {} kind {}", name, K, static_cast<int>(kind)));
        const kernels::RowQuantizer* program = quantizer ? &*quantizer : nullptr;
        compare(emulate(kind, program, x, weight, bias), plainly(kind, program, x, weight, bias),
                quantizer.has_value(), kind == RowsIn::kLayerNorm);
      }
    }
  }
}

TEST(EmulatedRows, RefuseWhatIsNoNumber) {
  const Captured captured = capture("ternary", at::randn({24, 64}), false);
  const kernels::RowQuantizer program{.program = captured.capture.function->forward().program,
                                      .K = 64};
  const at::Tensor x = at::randn({5, 64}).to(at::kBFloat16), ones = at::ones({64});
  x[4][63] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(emulate(RowsIn::kPlain, &program, x, ones, ones).refused.item<int32_t>(), 1);
  x[4][63] = 1.0;
  EXPECT_EQ(emulate(RowsIn::kPlain, &program, x, ones, ones).refused.item<int32_t>(), 0);
}

TEST(EmulatedWeights, AreTheFunctionsOwn) {
  at::manual_seed(4);
  int compared = 0;
  for (const char* name :
       {"ternary", "binary", "twn", "five_levels", "rms_row", "int4", "ternary_l2"})
    for (const auto& [N, K] : {std::pair<int64_t, int64_t>{37, 64}, {6, 4096}, {9, 768}}) {
      SCOPED_TRACE(fmt::format("{} {} x {}", name, N, K));
      const at::Tensor w = at::randn({N, K}) * 0.02;
      const Captured captured = capture(name, w, true);
      if (captured.capture.state != Capture::kCaptured) continue;
      const CapturedFunction& function = *captured.capture.function;
      const lua::Format& format = captured.quantizer->format();
      const PackedLevels levels = pack_levels(format);
      const int64_t scales = c10::multiply_integers(function.graph().scale_shape);
      if (levels.factor == 0 || (scales != 1 && scales != N)) continue;
      const kernels::WeightQuantizer quantizer{.program = function.forward().program,
                                               .rows = function.graph().rows,
                                               .columns = function.graph().columns,
                                               .levels = levels.levels,
                                               .integers = levels.integers,
                                               .half_scale = format.scale_dtype == at::kHalf};
      std::string why;
      if (!cuda::weight_kernels_support(quantizer, why)) continue;
      const size_t phases = quantizer.program.phases.size();
      std::vector<std::string> names;
      int64_t reductions = 1;
      for (size_t p = 0; p <= phases; ++p) {
        names.push_back(cuda::between_name(p));
        if (p == phases) break;
        names.push_back(cuda::walk_name(p));
        reductions = std::max(reductions, cuda::all_reductions(quantizer.program.phases[p]));
      }
      const cuda::Emulator emulator(cuda::weight_kernel_source(quantizer), names);
      const cuda::RowKernelShape shape = cuda::row_kernel_shape(quantizer.columns);
      const int blocks = 3;  // each goes over several rows
      std::vector<float> globals(cuda::kMostGlobals);
      std::vector<double> parts(static_cast<size_t>(blocks * reductions));
      const at::Tensor codes = at::full({N, K}, 77, at::kChar), scale = at::zeros({scales}),
                       refused = at::zeros({1}, at::kInt);
      cuda::WeightKernelArguments a;
      a.w = w.data_ptr<float>(), a.globals = globals.data(), a.parts = parts.data();
      a.codes = codes.data_ptr(), a.scale = scale.data_ptr<float>();
      a.refused = refused.data_ptr<int32_t>(), a.rows = quantizer.rows, a.blocks = blocks;
      for (size_t p = 0; p <= phases; ++p) {
        emulator.run(cuda::between_name(p), 1, 256, 1, a);
        if (p < phases) emulator.run(cuda::walk_name(p), blocks, shape.threads, shape.rows, a);
      }
      const kernels::WeightQuantizer& q = quantizer;
      const auto plain = kernels::reference_kernels();
      const at::Tensor want_codes = at::zeros({N, K}, at::kChar), want_scale = at::zeros({scales}),
                       want_refused = at::zeros({1}, at::kInt);
      plain->quantize_weights(*plain->compile(q, why), w.data_ptr<float>(), {},
                              want_codes.data_ptr<int8_t>(), want_scale.data_ptr<float>(),
                              want_refused.data_ptr<int32_t>());
      EXPECT_EQ(refused.item<int32_t>(), 0);
      EXPECT_EQ(want_refused.item<int32_t>(), 0);
      EXPECT_LE(codes.ne(want_codes).sum().item<int64_t>(), 1 + N * K / 5000);
      EXPECT_LT(distance(scale, want_scale), 1e-3);
      ++compared;
    }
  EXPECT_GE(compared, 15);
}

}  // namespace
}  // namespace bitloop::trainer
