#include "trainer/shell/report.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "harness/base/fd.h"

namespace bitloop::trainer::shell {
namespace {

TEST(ShellReport, AgreesWithTheFormula) {
  const auto text =
      read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers" / "ternary.lua");
  ASSERT_TRUE(text);
  const auto quantizer = lua::Quantizer::load(*text, "ternary.lua", lua::Limits{});
  ASSERT_TRUE(quantizer);
  const at::Tensor w = at::linspace(-1, 1, 33 * 7, at::kFloat).view({33, 7});
  const auto report = measure_weight(**quantizer, w);
  ASSERT_TRUE(report) << report.error().message;
  const at::Tensor raw = w.abs().mean();
  const at::Tensor scale = raw.to(at::kHalf).to(at::kFloat);
  const at::Tensor codes = (w / raw).round().clamp(-1, 1);
  EXPECT_TRUE(report->operand.codes.equal(codes));
  EXPECT_TRUE(report->operand.value.equal(codes * scale));
  EXPECT_DOUBLE_EQ(report->bits, std::log2(3.0) + 16.0 / (33 * 7));
  EXPECT_NEAR(report->mse, (w - codes * scale).square().mean().item<double>(), 1e-8);  // float32 in the reference
  EXPECT_NEAR(report->snr_db, -20 * std::log10(report->error), 1e-12);
  EXPECT_NEAR(*report->zero_share, codes.eq(0).to(at::kFloat).mean().item<double>(), 1e-7);
}

}  // namespace
}  // namespace bitloop::trainer::shell
