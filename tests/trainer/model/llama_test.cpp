// The Llama form of Transformer: against the architecture written out in double precision, against
// itself with a cache, and what follows from its shape. golden_test.cpp compares with
// `transformers`.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "tests/trainer/fixture.h"
#include "tests/trainer/model/reference_model.h"
#include "trainer/model/device_step.h"
#include "trainer/model/fused_step.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {
namespace {

struct Shape {
  int64_t heads, key_heads, width, hidden;
  bool tied, bias;
  double theta, epsilon;
};

ModelConfig llama(const Shape& shape = {4, 2, 32, 44, true, false, 1e4, 1e-5}) {
  return {.architecture = "llama",
          .vocab_size = 17,
          .padded_vocab_size = 32,
          .context = 24,
          .layers = 2,
          .heads = shape.heads,
          .width = shape.width,
          .bias = shape.bias,
          .kv_heads = shape.key_heads,
          .ffn_width = shape.hidden,
          .tied_head = shape.tied,
          .rope_theta = shape.theta,
          .norm_epsilon = shape.epsilon};
}

// Every ratio of heads, heads of an odd half, of the size that attention has a kernel for, and not.
const Shape kShapes[] = {
    {4, 4, 32, 44, true, false, 1e4, 1e-5}, {4, 2, 32, 44, false, false, 5e5, 1e-6},
    {4, 1, 64, 100, true, true, 1e4, 1e-5}, {3, 3, 18, 7, false, true, 100.0, 1e-3},
    {6, 2, 96, 33, true, false, 1e4, 1e-5}, {9, 3, 144, 96, false, false, 1e4, 1e-5}};

// The model composed of LibTorch operations alone, in double precision; weights by name.
at::Tensor llama_logits(const std::map<std::string, at::Tensor>& w, const at::Tensor& ids,
                        const ModelConfig& c) {
  const int64_t B = ids.size(0), T = ids.size(1), S = c.width / c.heads;
  const auto linear = [&](const at::Tensor& x, const std::string& name) {
    const at::Tensor y = x.matmul(w.at(name + ".weight").t());
    return w.contains(name + ".bias") ? y + w.at(name + ".bias") : y;
  };
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    return x / (x.pow(2).mean(-1, true) + c.norm_epsilon).sqrt() * w.at(name + ".weight");
  };
  // As complex numbers: (x_i, x_{i + S/2}) times e^(i angle).
  const auto rotate = [&](const at::Tensor& x) {  // (B, H, T, S)
    const at::Tensor frequencies =
        at::pow(at::scalar_tensor(c.rope_theta, at::kDouble),
                at::arange(0, S, 2, at::kDouble) / -static_cast<double>(S));
    const at::Tensor angle = at::arange(T, at::kDouble).unsqueeze(1) * frequencies;
    const at::Tensor turned = at::complex(x.narrow(3, 0, S / 2), x.narrow(3, S / 2, S / 2)) *
                              at::polar(at::ones_like(angle), angle);
    return at::cat({at::real(turned), at::imag(turned)}, 3);
  };
  at::Tensor x = w.at("model.embed_tokens.weight").index({ids});
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const at::Tensor read = norm(x, layer + "input_layernorm");
    const auto heads = [&](const std::string& name, int64_t count) {
      return linear(read, layer + "self_attn." + name).view({B, T, count, S}).transpose(1, 2);
    };
    const int64_t shared = c.heads / c.key_heads();
    const at::Tensor q = rotate(heads("q_proj", c.heads)),
                     k = rotate(heads("k_proj", c.key_heads())).repeat_interleave(shared, 1),
                     v = heads("v_proj", c.key_heads()).repeat_interleave(shared, 1);
    const at::Tensor scores = (q.matmul(k.transpose(2, 3)) / std::sqrt(static_cast<double>(S)))
                                  .masked_fill(at::ones({T, T}, at::kBool).triu(1), -INFINITY);
    x = x + linear(scores.softmax(-1).matmul(v).transpose(1, 2).reshape({B, T, c.width}),
                   layer + "self_attn.o_proj");
    const at::Tensor fed = norm(x, layer + "post_attention_layernorm");
    const at::Tensor gate = linear(fed, layer + "mlp.gate_proj");
    x = x +
        linear(gate * gate.sigmoid() * linear(fed, layer + "mlp.up_proj"), layer + "mlp.down_proj");
  }
  const std::string head = c.tied_head ? "model.embed_tokens" : "lm_head";
  return linear(norm(x, "model.norm"), head).view({B * T, -1});
}

TEST(Llama, LossAndGradientsEqualAnIndependentModelInDouble) {
  for (const Shape& shape : kShapes) {
    const ModelConfig config = llama(shape);
    SCOPED_TRACE(testing::Message() << shape.heads << " " << shape.key_heads << " " << shape.width);
    Transformer model(config, false, 5);
    at::manual_seed(1);
    expect_loss_and_gradients_of(model, llama_logits, 3, 24);
  }
}

TEST(Llama, ASequenceThatGrowsHasTheFeaturesOfTheWhole) {
  const at::NoGradGuard no_grad;
  for (const Shape& shape : kShapes) {
    const ModelConfig config = llama(shape);
    Transformer model(config, false, 5);
    for (auto& [name, tensor] : model.named_parameters())
      tensor.detach().add_(at::randn_like(tensor.detach()) * 0.1);
    const ForwardContext context;
    ASSERT_TRUE(model.quantize_weights(context));
    const int64_t T = config.context;
    const at::Tensor ids = at::randint(0, config.vocab_size, {2, T}, at::kLong);
    const at::Tensor whole = model.features(ids, context)->view({2, T, -1});
    const int64_t first[] = {5, 1};  // one sequence ahead of the other
    KeyValueCache caches[] = {model.make_cache(T), model.make_cache(T)};
    EXPECT_EQ(caches[0].keys.front().size(1), config.key_heads() * (config.width / config.heads));
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
  }
}

// Two continuations of one beginning in one row have the features of two rows.
TEST(Llama, BranchesStandWhereTheirPositionsSay) {
  const at::NoGradGuard no_grad;
  const ModelConfig config = llama();
  Transformer model(config, false, 5);
  const ForwardContext context;
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor a = at::tensor({1, 2, 3, 4, 5}, at::kLong).unsqueeze(0);
  const at::Tensor b = at::tensor({1, 2, 9, 8}, at::kLong).unsqueeze(0);
  const at::Tensor both = at::tensor({1, 2, 3, 4, 5, 9, 8}, at::kLong).unsqueeze(0);
  Layout layout{at::tensor({0, 1, 2, 3, 4, 2, 3}, at::kLong).unsqueeze(0),
                at::ones({7, 7}, at::kBool).tril().view({1, 1, 7, 7})};
  layout.mask_B1TT.narrow(2, 5, 2).narrow(3, 2, 3).fill_(false);
  const at::Tensor together = *model.features(both, context, &layout);
  EXPECT_TRUE(at::allclose(together.narrow(0, 0, 5), *model.features(a, context), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(together.narrow(0, 5, 2), model.features(b, context)->narrow(0, 2, 2),
                           1e-4, 1e-5));
}

TEST(Llama, LayersAndParametersFollowFromTheShape) {
  // SmolLM-135M's: 49,152 x 576 + 30 (2 x 576^2 + 2 x 192 x 576 + 3 x 1,536 x 576 + 2 x 576) + 576
  ModelConfig smollm{.architecture = "llama",
                     .vocab_size = 49152,
                     .padded_vocab_size = 49152,
                     .context = 2048,
                     .layers = 30,
                     .heads = 9,
                     .width = 576,
                     .bias = false,
                     .kv_heads = 3,
                     .ffn_width = 1536};
  EXPECT_EQ(Transformer::empty(smollm, false).parameter_count(), 134'515'008);
  smollm.tied_head = false;
  EXPECT_EQ(Transformer::empty(smollm, false).parameter_count(), 134'515'008 + 49152 * 576);

  Transformer model(llama(), true, 1);
  const std::vector<BitLinear*> layers = model.bitlinears();
  ASSERT_EQ(layers.size(), 15u);
  const std::pair<const char*, const char*> wanted[] = {
      {"self_attn.q_proj", "attn_qkv"}, {"self_attn.k_proj", "attn_qkv"},
      {"self_attn.v_proj", "attn_qkv"}, {"self_attn.o_proj", "attn_proj"},
      {"mlp.gate_proj", "mlp_fc"},      {"mlp.up_proj", "mlp_fc"},
      {"mlp.down_proj", "mlp_proj"}};
  for (size_t i = 0; i < 14; ++i) {
    EXPECT_EQ(layers[i]->layer.name, fmt::format("model.layers.{}.{}", i / 7, wanted[i % 7].first));
    EXPECT_EQ(layers[i]->layer.kind, wanted[i % 7].second);
    EXPECT_EQ(layers[i]->layer.index, static_cast<int64_t>(i));
    EXPECT_EQ(layers[i]->layer.count, 15);
  }
  EXPECT_EQ(layers.back()->layer.kind, "head");
}

TEST(Llama, WeightsBeginAsGpt2s) {
  ModelConfig config = llama({4, 2, 128, 352, false, false, 1e4, 1e-5});
  Transformer model(config, false, 3), same(config, false, 3);
  const auto parameters = model.named_parameters(), again = same.named_parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, tensor] = parameters[i];
    EXPECT_TRUE(at::equal(tensor, again[i].second)) << name;
    if (tensor.dim() == 1) {
      EXPECT_TRUE(at::equal(tensor, at::ones_like(tensor))) << name;
      continue;
    }
    const bool residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
    const double wanted = residual ? 0.02 / 2 : 0.02;  // 1 / sqrt(2 x 2 layers)
    // The deviation of n numbers is known to about 1 / sqrt(2 n).
    EXPECT_NEAR(tensor.std().item<double>(), wanted, wanted * 4 / std::sqrt(2.0 * tensor.numel()))
        << name;
  }
}

TEST(Llama, AQuantisedLayerHasTheValuesOfItsCodes) {
  const at::NoGradGuard no_grad;
  Transformer model(llama(), false, 1);
  const auto quantizer = quantizer_from(kTernaryLua);
  const ForwardContext context{.quantizer = quantizer.get()};
  ASSERT_TRUE(model.quantize_weights(context));
  for (const BitLinear* layer : model.bitlinears()) {
    const double scale = layer->weight.abs().mean().to(at::kHalf).item<double>();
    const at::Tensor levels = (layer->used_weight / scale);
    EXPECT_LT((levels - levels.round()).abs().max().item<float>(), 1e-5) << layer->layer.name;
  }
  EXPECT_TRUE(model.forward(at::zeros({1, 4}, at::kLong), context));
}

TEST(Llama, HasNoFusedStepYet) {
  ModelConfig config = llama({4, 2, 128, 352, true, false, 1e4, 1e-5});
  config.context = 128;
  EXPECT_FALSE(FusedTraining::supports(config, 16));
  EXPECT_NE(DeviceTraining::refuses(config, 16).find("Llama"), std::string::npos);
}

}  // namespace
}  // namespace bitloop::trainer
