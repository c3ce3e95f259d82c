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

  // Rounding alone. A float32 sum of n products is off by about sqrt(n) u of its terms' norm (u the
  // unit roundoff; Higham & Mary 2019); on the way to the deepest gradient there are 6 products a
  // layer, forward and backward, of sums of at most 4 D, whose errors are independent: their
  // squares add up. A missing term (a bias, a norm's weight, a head) moves a gradient by some
  // percent.
  const double u = std::numeric_limits<float>::epsilon() / 2;
  const double products = 2.0 * 6.0 * static_cast<double>(config.layers);
  const double bound = std::sqrt(products) * std::sqrt(4.0 * static_cast<double>(config.width)) * u;
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

// The same with ternary weights and activations of 8 bits, the weights' codes and scales being the
// model's own and the rest written apart.
TEST(Medium, SoDoThoseOfATernaryStep) {
  const ModelConfig config = medium();
  Transformer model(config, false, 11);
  const auto quantizer = shipped_quantizer("ternary");
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
    if (!operand.codes_int8.defined()) continue;
    ++quantised;
    doubles.at(layer->layer.name + ".weight") =
        operand.codes_int8.to(at::kDouble) * operand.int8_scale.to(at::kDouble);
  }
  ASSERT_EQ(quantised, 4 * config.layers);
  for (auto& [name, tensor] : doubles) tensor.requires_grad_(true);
  const at::Tensor wanted =
      at::cross_entropy_loss(reference_logits(doubles, ids, config, rows_of_eight_bits), targets);
  torch::autograd::backward({wanted}, {});

  // Where float32 and double fall on two sides of a boundary an activation differs by a whole
  // level. With x off by d (the bound above), a number of l levels does so with probability 2 l d;
  // of a normal row of 1,024 the largest is 3.5 of its norm's share, so l is 36 on average at most
  // and a level 3.5/127 of it: a product is off by sqrt(2 * 36 d) * 3.5/127 of its norm.
  const double u = std::numeric_limits<float>::epsilon() / 2;
  const double products = 2.0 * 6.0 * static_cast<double>(config.layers);
  const double d = std::sqrt(products) * std::sqrt(4.0 * static_cast<double>(config.width)) * u;
  const double bound = std::sqrt(products) * std::sqrt(2 * 36 * d) * 3.5 / 127;
  EXPECT_LT(bound, 0.05);
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
