// GPT-2 Medium, 355M parameters, with random weights: one step's loss and every gradient, against
// an independent model in double precision. About 9 GB of memory.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/base/fd.h"
#include "tests/trainer/fixture.h"
#include "tests/trainer/model/reference_model.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kTokens = 64;  // of the one sequence; the preset's context is 1,024

// The shapes of the preset itself.
ModelConfig medium() {
  const auto text =
      read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "trainer" / "presets" / "medium.json");
  EXPECT_TRUE(text);
  const nlohmann::json model = nlohmann::json::parse(*text).at("model");
  return {.vocab_size = model.at("vocab_size"),
          .padded_vocab_size = model.at("padded_vocab_size"),
          .context = model.at("context"),
          .layers = model.at("layers"),
          .heads = model.at("heads"),
          .width = model.at("width"),
          .bias = model.at("bias")};
}

// Rounding alone. A float32 sum of n products is off by about sqrt(n) u of its terms' norm (u the
// unit roundoff; Higham & Mary 2019); on the way to the deepest gradient there are 6 products a
// layer, forward and backward, of sums of at most 4 D, whose errors are independent: their squares
// add up. A missing term (a bias, a norm's weight, a head) moves a gradient by some percent.
double rounding_bound(const ModelConfig& config) {
  const double u = std::numeric_limits<float>::epsilon() / 2;
  const double products = 2.0 * 6.0 * static_cast<double>(config.layers);
  return std::sqrt(products) * std::sqrt(4.0 * static_cast<double>(config.width)) * u;
}

TEST(Medium, LossAndGradientsOfOneStepEqualAnIndependentModelInDouble) {
  const ModelConfig config = medium();
  Transformer model(config, false, 11);
  ASSERT_GT(model.parameter_count(), 354'000'000);
  at::manual_seed(2);
  std::map<std::string, at::Tensor> doubles;
  for (auto& [name, tensor] : model.named_parameters()) {
    if (tensor.dim() == 1) tensor.detach().add_(at::randn_like(tensor.detach()), 0.05);
    doubles[name] = tensor.detach().to(at::kDouble).requires_grad_(true);
  }
  const at::Tensor ids = at::randint(0, config.vocab_size, {1, kTokens}, at::kLong);
  const at::Tensor targets = at::randint(0, config.vocab_size, {kTokens}, at::kLong);
  const ForwardContext context{.training = true, .products = Products::kFloat32};
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor loss = at::cross_entropy_loss(*model.forward(ids, context), targets);
  torch::autograd::backward({loss}, {});
  const at::Tensor wanted = at::cross_entropy_loss(reference_logits(doubles, ids, config), targets);
  torch::autograd::backward({wanted}, {});

  const double bound = rounding_bound(config);
  EXPECT_LT(bound, 1e-4);
  EXPECT_NEAR(loss.item<double>(), wanted.item<double>(), bound * wanted.item<double>());
  double worst = 0;
  for (const auto& [name, tensor] : model.named_parameters()) {
    const at::Tensor expected = doubles.at(name).grad();
    ASSERT_TRUE(tensor.grad().defined()) << name;
    const double norm = expected.norm().item<double>();
    ASSERT_GT(norm, 0) << name;
    const double apart = (tensor.grad().to(at::kDouble) - expected).norm().item<double>() / norm;
    worst = std::max(worst, apart);
    EXPECT_LT(apart, bound) << name;
  }
  RecordProperty("largest_relative_error", std::to_string(worst));
  EXPECT_GT(worst, 0);
}

// The same with ternary weights, whose codes and scales are the model's own. Activations stay
// float: a rounded one that falls on the other side of a boundary in float32 than in double differs
// by a whole level, moves others across theirs, and after some layers nothing can be told from
// that.
TEST(Medium, SoDoThoseOfAStepWithTernaryWeights) {
  const ModelConfig config = medium();
  Transformer model(config, false, 11);
  const auto quantizer = quantizer_from(R"(
local Q = {name = "weights", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx)
  local scale = w:abs():mean():clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end
return Q
)");
  at::manual_seed(2);
  const at::Tensor ids = at::randint(0, config.vocab_size, {1, kTokens}, at::kLong);
  const at::Tensor targets = at::randint(0, config.vocab_size, {kTokens}, at::kLong);
  const ForwardContext context{
      .quantizer = quantizer.get(), .training = true, .products = Products::kFloat32};
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor loss = at::cross_entropy_loss(*model.forward(ids, context), targets);
  torch::autograd::backward({loss}, {});
  model.finish_weight_gradients(context);
  std::map<std::string, at::Tensor> doubles;
  for (auto& [name, tensor] : model.named_parameters())
    doubles[name] = tensor.detach().to(at::kDouble);
  int quantised = 0;
  for (const BitLinear* layer : model.bitlinears()) {
    const Operand& operand = layer->weight_operand;
    if (!layer->quantized) continue;
    ++quantised;
    const at::Tensor codes = operand.codes_int8.defined() ? operand.codes_int8 : operand.codes;
    doubles.at(layer->layer.name + ".weight") =
        codes.to(at::kDouble) * operand.scale.to(at::kDouble);
  }
  ASSERT_EQ(quantised, 4 * config.layers);
  for (auto& [name, tensor] : doubles) tensor.requires_grad_(true);
  const at::Tensor wanted = at::cross_entropy_loss(reference_logits(doubles, ids, config), targets);
  torch::autograd::backward({wanted}, {});

  const double bound = rounding_bound(config);
  EXPECT_NEAR(loss.item<double>(), wanted.item<double>(), bound * wanted.item<double>());
  double worst = 0;
  for (const auto& [name, tensor] : model.named_parameters()) {
    const at::Tensor expected = doubles.at(name).grad();
    ASSERT_TRUE(tensor.grad().defined()) << name;
    const double apart = (tensor.grad().to(at::kDouble) - expected).norm().item<double>() /
                         expected.norm().item<double>();
    worst = std::max(worst, apart);
    EXPECT_LT(apart, bound) << name;
  }
  RecordProperty("largest_relative_error", std::to_string(worst));
}

}  // namespace
}  // namespace bitloop::trainer
