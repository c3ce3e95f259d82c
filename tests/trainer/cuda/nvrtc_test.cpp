// NVRTC needs no GPU to compile: the source of every shipped quantizer's rows is taken by it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nvrtc.h>

#include <filesystem>

#include "tests/trainer/fixture.h"
#include "trainer/cuda/row_source.h"
#include "trainer/cuda/weight_source.h"
#include "trainer/model/capture.h"
#include "trainer/model/quantize.h"

namespace bitloop::trainer {
namespace {

// The compiler's complaints, or empty.
std::string complaints(const std::string& source) {
  nvrtcProgram program = nullptr;
  if (nvrtcCreateProgram(&program, source.c_str(), "rows.cu", 0, nullptr, nullptr) != NVRTC_SUCCESS)
    return "no program";
  const char* options[] = {"--gpu-architecture=sm_90", "--fmad=false", "--std=c++17"};
  std::string log;
  if (nvrtcCompileProgram(program, 3, options) != NVRTC_SUCCESS) {
    size_t bytes = 0;
    nvrtcGetProgramLogSize(program, &bytes);
    log.resize(bytes);
    nvrtcGetProgramLog(program, log.data());
  }
  nvrtcDestroyProgram(&program);
  return log;
}

TEST(Nvrtc, TakesTheRowsOfEveryShippedQuantizer) {
  int compiled = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    SCOPED_TRACE(entry.path().stem().string());
    const auto quantizer = shipped_quantizer(entry.path().stem());
    if (!quantizer->format().quantizes_activations) continue;
    const lua::Layer layer{.name = "l", .kind = "mlp_fc", .in_features = 1024, .out_features = 64};
    NamedTensorMap params, state;
    if (quantizer->has("init")) {
      const auto made = quantizer->init(layer, at::randn({64, 1024}) * 0.02);
      ASSERT_TRUE(made) << made.error().message;
      for (const auto& [name, param] : made->params)
        params[name] = at::Tensor(param.value).requires_grad_(true);
      state = made->state;
    }
    Capture capture;
    ASSERT_TRUE(try_capture(
        capture,
        [&](const at::Tensor& x, lua::Recording* recording) {
          return quantizer->activation_quant(
              x, {.training = true, .layer = &layer, .params = &params, .state = &state},
              recording);
        },
        at::randn({24, 1024}), params, state));
    if (capture.state != Capture::kCaptured || !capture.function->streams()) continue;
    const kernels::RowQuantizer rows{.program = capture.function->forward().program, .K = 1024};
    std::string why;
    ASSERT_TRUE(cuda::row_kernel_supports(&rows.program, 1024, why)) << why;
    for (const auto kind :
         {kernels::RowsIn::kPlain, kernels::RowsIn::kLayerNorm, kernels::RowsIn::kGelu})
      EXPECT_EQ(complaints(cuda::row_kernel_source(kind, &rows, 1024)), "");
    ++compiled;
  }
  EXPECT_GT(compiled, 15);
  for (const int64_t K : {64, 768, 4096})
    EXPECT_EQ(complaints(cuda::row_kernel_source(kernels::RowsIn::kLayerNorm, nullptr, K)), "");
}

TEST(Nvrtc, TakesTheWeightsOfEveryShippedQuantizer) {
  int compiled = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    SCOPED_TRACE(entry.path().stem().string());
    const auto quantizer = shipped_quantizer(entry.path().stem());
    const PackedLevels levels = pack_levels(quantizer->format());
    if (!quantizer->format().quantizes_weights || levels.factor == 0 || quantizer->has("init"))
      continue;
    const lua::Layer layer{.name = "l", .kind = "mlp_fc", .in_features = 1024, .out_features = 64};
    const NamedTensorMap none;
    Capture capture;
    ASSERT_TRUE(try_capture(
        capture,
        [&](const at::Tensor& w, lua::Recording* recording) {
          return quantizer->weight_quant(
              w, {.training = true, .layer = &layer, .params = &none, .state = &none}, recording);
        },
        at::randn({64, 1024}) * 0.02, none, none));
    if (capture.state != Capture::kCaptured) continue;
    const lua::Graph& graph = capture.function->graph();
    const kernels::WeightQuantizer weights{.program = capture.function->forward().program,
                                           .rows = graph.rows,
                                           .columns = graph.columns,
                                           .levels = levels.levels,
                                           .integers = levels.integers};
    std::string why;
    if (!cuda::weight_kernels_support(weights, why)) continue;
    EXPECT_EQ(complaints(cuda::weight_kernel_source(weights)), "");
    ++compiled;
  }
  EXPECT_GE(compiled, 8);
}

}  // namespace
}  // namespace bitloop::trainer
