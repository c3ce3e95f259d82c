// The step of one token: who has it, and that its bits are those of the general form.
#include "trainer/model/token_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/trainer/pack/packed_files.h"
#include "trainer/model/layer_observer.h"

namespace bitloop::trainer {
namespace {

ModelConfig llama() {
  return {.architecture = "llama",
          .vocab_size = 17,
          .padded_vocab_size = 32,
          .context = 24,
          .layers = 2,
          .heads = 6,
          .width = 96,
          .bias = true,
          .kv_heads = 2,
          .ffn_width = 130,
          .tied_head = false};
}

ModelConfig gpt2() {
  ModelConfig config = middle_model();
  config.bias = true;
  return config;
}

// Whoever looks at layers sees the general form.
struct Looks : LayerObserver {
  int seen = 0;
  void see(const BitLinear&, at::Tensor&) override { ++seen; }
};

// Features of some tokens behind a prompt.
at::Tensor features(Transformer& model, const ForwardContext& context) {
  KeyValueCache cache = model.make_cache(12);
  EXPECT_TRUE(model.prefill(at::tensor({3, 1, 4}, at::kLong), cache, context));
  std::vector<at::Tensor> all;
  for (int64_t i = 0; i < 8; ++i) {
    KeyValueCache* const caches[] = {&cache};
    all.push_back(*model.decode(at::tensor({i * 7 % 17}, at::kLong), caches, context));
    EXPECT_EQ(cache.length, 4 + i);
  }
  return at::cat(all);
}

void expect_the_bits(const ModelConfig& config, const std::string& name, bool has_step) {
  const auto quantizer = shipped_quantizer(name);
  Transformer model(config, /*quantize_head=*/false, 5);
  for (const auto& [parameter, tensor] : model.named_parameters())
    if (parameter.ends_with("bias")) tensor.detach().normal_();
  init_layers(model, *quantizer);
  const ForwardContext context{.quantizer = quantizer.get(),
                               .step = 9,
                               .total_steps = 9,
                               .products = Products::kFloat32,
                               .as_stored = true};
  ASSERT_TRUE(model.quantize_weights(context));
  const auto step = TokenStep::make(model, context);
  ASSERT_EQ(step != nullptr, has_step) << name;
  EXPECT_EQ(step && step->serves(model, context), has_step);
  const at::Tensor made = features(model, context);
  if (has_step && !config.is_llama()) {
    KeyValueCache cache = model.make_cache(4);
    ASSERT_TRUE(model.prefill(at::tensor({3}, at::kLong), cache, context));
    EXPECT_TRUE(step->run(model, at::ones({1, config.width}), cache, std::nullopt));
  }
  for (const int threads : {1, 3}) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(made, features(model, context))) << threads << " threads";
    at::set_num_threads(before);
  }
  Looks looks;
  const Observing observing(looks);
  EXPECT_FALSE(step && step->serves(model, context));
  EXPECT_TRUE(at::equal(made, features(model, context))) << name << " " << config.architecture;
  EXPECT_GT(looks.seen, 8 * 8);
}

TEST(TokenStep, HasTheBitsOfTheGeneralForm) {
  const at::NoGradGuard no_grad;
  // Integers and floats, groups, codebooks, row biases; weights and activations that stay float.
  for (const char* name : {"ternary", "int4", "five_levels", "group64", "nativebit", "tequila",
                           "rms_row", "kmeans", "float"})
    for (const ModelConfig& config : {gpt2(), llama()}) expect_the_bits(config, name, true);
}

TEST(TokenStep, WhatHasNoExactProgramTakesTheGeneralForm) {
  const at::NoGradGuard no_grad;
  expect_the_bits(gpt2(), "quest_ternary", false);  // a transform and a mean over the row
  expect_the_bits(gpt2(), "lsq", false);            // reads how many rows there are
  for (const ModelConfig& config : {gpt2(), llama()})
    expect_the_bits(config, "flat_group", false);  // 16 bits
}

TEST(TokenStep, ActivationsThatAreNotAllowedAreReportedByTheGeneralForm) {
  const at::NoGradGuard no_grad;
  const auto quantizer = shipped_quantizer("ternary");
  Transformer model(gpt2(), false, 5);
  const ForwardContext context{
      .quantizer = quantizer.get(), .products = Products::kFloat32, .as_stored = true};
  ASSERT_TRUE(model.quantize_weights(context));
  KeyValueCache cache = model.make_cache(4);
  ASSERT_TRUE(model.prefill(at::tensor({3}, at::kLong), cache, context));
  for (const auto& [name, tensor] : model.named_parameters())
    if (name == "h.1.ln_2.weight") tensor.detach().fill_(1e30);
  KeyValueCache* const caches[] = {&cache};
  const auto failed = model.decode(at::tensor({1}, at::kLong), caches, context);
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().message.contains("h.1.mlp.c_fc")) << failed.error().message;
  EXPECT_EQ(cache.length, 1);
}

TEST(TokenStep, FollowsWeightsThatAreQuantisedAnew) {
  const at::NoGradGuard no_grad;
  const auto quantizer = shipped_quantizer("ternary");
  Transformer model(gpt2(), false, 5), fresh(gpt2(), false, 5);
  const ForwardContext context{
      .quantizer = quantizer.get(), .products = Products::kFloat32, .as_stored = true};
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor before = features(model, context);
  for (Transformer* each : {&model, &fresh}) {
    for (BitLinear* layer : each->bitlinears()) layer->weight.detach().neg_();
    ASSERT_TRUE(each->quantize_weights(context));
  }
  const at::Tensor after = features(model, context);
  EXPECT_FALSE(at::equal(before, after));
  EXPECT_TRUE(at::equal(after, features(fresh, context)));
}

}  // namespace
}  // namespace bitloop::trainer
