#include "trainer/loop/codebook_use.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

// Rows of two blocks, of 24 and 8 inputs; codes: 0 for what is below zero, 1 above 1, else 2; 3 is
// used by none.
constexpr const char* kCodes = R"(
local Q = {name = "c", codebook = {entries = 4, block = 24}}
function Q.weight_quant(w, ctx)
  local codes = torch.where(w:lt(0), 0, torch.where(w:gt(1), 1, 2))
  local blocks = bitloop.blocks(w, 24):size(1)
  return {codes = codes, codebook = torch.tensor({-1, 2, 0.5, 9}):view(1, 1, 4):expand(w:size(0), blocks, 4)}
end
return Q
)";

struct Model {
  explicit Model(const std::string& text) {
    run.job.model = small_model();
    run.model = std::make_unique<Transformer>(run.job.model, false, 3);
    run.quantizer = quantizer_from(text);
  }
  nlohmann::json use() {
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(run.model->quantize_weights({.quantizer = run.quantizer.get()}));
    return codebook_use(run);
  }
  Run run;
};

TEST(CodebookUse, CountsByBlockAndLeavesOutThePadding) {
  Model model(kCodes);
  double squares = 0, weights = 0, utilization = 0, blocks = 0, dead = 0;
  int64_t i = 0;
  for (BitLinear* layer : model.run.model->bitlinears()) {
    const at::NoGradGuard no_grad;
    layer->weight.copy_(at::sin(at::arange(layer->weight.numel()) * 12.9 + static_cast<double>(i++))
                            .mul(1.7)
                            .view(layer->weight.sizes()));
    const auto w = layer->weight.accessor<float, 2>();
    for (int64_t n = 0; n < w.size(0); ++n)
      for (int64_t first = 0; first < w.size(1); first += 24) {
        const int64_t end = std::min<int64_t>(first + 24, w.size(1));
        double count[4] = {0, 0, 0, 0}, entropy = 0;
        for (int64_t k = first; k < end; ++k) {
          const int code = w[n][k] < 0 ? 0 : w[n][k] > 1 ? 1 : 2;
          count[code] += 1;
          const double value[] = {-1, 2, 0.5, 9};
          squares += std::pow(w[n][k] - value[code], 2);
          weights += 1;
        }
        for (const double c : count) {
          const double share = c / static_cast<double>(end - first);
          if (c > 0) entropy -= share * std::log(share);
          dead += c == 0 ? 1 : 0;
        }
        utilization += std::exp(entropy) / 4;
        blocks += 1;
      }
  }
  const nlohmann::json use = model.use();
  EXPECT_NEAR(use.at("quant_err_rms").get<double>(), std::sqrt(squares / weights), 1e-5);
  EXPECT_NEAR(use.at("cb_utilization").get<double>(), utilization / blocks, 1e-5);
  EXPECT_NEAR(use.at("dead_frac").get<double>(), dead / (4 * blocks), 1e-9);
}

TEST(CodebookUse, OtherQuantizersHaveNone) {
  EXPECT_TRUE(Model(kTernaryLua).use().empty());
  EXPECT_TRUE(Model("return {}").use().empty());
}

}  // namespace
}  // namespace bitloop::trainer
