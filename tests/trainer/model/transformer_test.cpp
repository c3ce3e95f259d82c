#include "trainer/model/transformer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/trainer/fixture.h"
#include "tests/trainer/model/reference_model.h"
#include "tests/trainer/shared_data.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

TEST(Transformer, ASequenceThatGrowsHasTheFeaturesOfTheWhole) {
  const at::NoGradGuard no_grad;
  const ModelConfig config = small_model();
  Transformer model(config, false, 5);
  const ForwardContext context;
  ASSERT_TRUE(model.quantize_weights(context));
  const int64_t T = config.context;
  const at::Tensor ids = at::randint(0, config.vocab_size, {2, T}, at::kLong);
  const at::Tensor whole = model.features(ids, context)->view({2, T, -1});
  // Two sequences, one ahead of the other.
  const int64_t first[] = {3, 1};
  KeyValueCache caches[] = {model.make_cache(T), model.make_cache(T)};
  for (int64_t s = 0; s < 2; ++s) {
    const at::Tensor begun = *model.prefill(ids[s].narrow(0, 0, first[s]), caches[s], context);
    EXPECT_TRUE(at::allclose(begun, whole[s].narrow(0, 0, first[s]), 1e-4, 1e-5));
  }
  KeyValueCache* const together[] = {&caches[0], &caches[1]};
  for (int64_t step = 0; first[0] + step < T; ++step) {
    const at::Tensor next = at::stack({ids[0][first[0] + step], ids[1][first[1] + step]});
    const at::Tensor features = *model.decode(next, together, context);
    for (int64_t s = 0; s < 2; ++s)
      EXPECT_TRUE(at::allclose(features[s], whole[s][first[s] + step], 1e-4, 1e-5)) << step;
  }
  EXPECT_EQ(caches[0].length, T);
}

TEST(Transformer, LossAndGradientsEqualAnIndependentModelInDouble) {
  const ModelConfig config = small_model();
  Transformer model(config, false, 5);
  at::manual_seed(1);
  expect_loss_and_gradients_of(model, reference_logits, 3, 12);
}

TEST(Transformer, TheSameSeedGivesTheSameBitsAndAnotherDoesNot) {
  Transformer a(small_model(), false, 1), b(small_model(), false, 1), c(small_model(), false, 2);
  EXPECT_TRUE(at::equal(a.named_parameters()[0].second, b.named_parameters()[0].second));
  EXPECT_FALSE(at::equal(a.named_parameters()[0].second, c.named_parameters()[0].second));
}

TEST(Transformer, TinyHasTheParametersOfItsPreset) {
  Transformer model(ModelConfig{}, false, 1);
  // 256 128 + 128 128 + 4 (12 128^2 + 13 128) + 2 128
  EXPECT_EQ(model.parameter_count(), 842'496);
  EXPECT_EQ(model.bitlinears().size(), 16u);
}

TEST(Transformer, AQuantisedHeadIsALayerLikeTheOthers) {
  Transformer model(small_model(), true, 1);
  ASSERT_EQ(model.bitlinears().size(), 9u);
  EXPECT_EQ(model.bitlinears().back()->layer.kind, "head");
  EXPECT_EQ(model.bitlinears().back()->layer.count, 9);
  const auto quantizer = quantizer_from(kTernaryLua);
  const ForwardContext context{.quantizer = quantizer.get()};
  at::NoGradGuard no_grad;
  ASSERT_TRUE(model.quantize_weights(context));
  EXPECT_TRUE(model.forward(at::zeros({1, 4}, at::kLong), context));
}

// A real trained model with the intermediate tensors of its forward pass, made by another
// implementation.
at::Tensor decode(const json& tensor) {
  const std::string text = tensor.at("data");
  std::string bytes;
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char* place = c == '=' ? nullptr : std::strchr(alphabet, c);
    if (place == nullptr) break;
    bits = bits << 6 | static_cast<uint32_t>(place - alphabet);
    if ((have += 6) >= 8) bytes += static_cast<char>(bits >> (have -= 8) & 0xff);
  }
  const auto shape = tensor.at("shape").get<std::vector<int64_t>>();
  return at::from_blob(bytes.data(), shape, at::kFloat).clone();
}

TEST(Transformer, EqualsATrainedModelOfAnotherImplementation) {
  const std::string folder = unpacked("oracles").string();
  if (folder.empty()) GTEST_SKIP() << "the oracles are not here (set BITLOOP_SHARED_DATA)";
  const json weights =
      json::parse(*read_file(folder + "/gpt-nano-oracle/gpt-nano-sort-model.json"));
  const json partials =
      json::parse(*read_file(folder + "/gpt-nano-oracle/gpt-nano-sort-t0-partials.json"));

  const ModelConfig config{
      .vocab_size = 3, .padded_vocab_size = 3, .context = 11, .layers = 3, .heads = 3, .width = 48};
  Transformer model(config, false, 1);
  for (auto& [name, tensor] : model.named_parameters()) {
    tensor.detach().copy_(decode(weights.at("transformer." + name)));
  }
  at::NoGradGuard no_grad;
  const ForwardContext context;
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor ids = decode(partials.at("idx")).to(at::kLong);
  const auto logits = model.forward(ids, context);
  ASSERT_TRUE(logits);
  // The oracle's head is not tied, so the comparison is of the last norm's output under our tied
  // head.
  const at::Tensor expected = decode(partials.at("ln_f"))
                                  .view({-1, 48})
                                  .mm(decode(weights.at("transformer.wte.weight")).t());
  EXPECT_LT((*logits - expected).abs().max().item<float>(), 2e-4);
}

}  // namespace
}  // namespace bitloop::trainer
