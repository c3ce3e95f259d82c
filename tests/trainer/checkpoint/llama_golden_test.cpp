// Logits, loss and gradients of Llamas that are read from Hugging Face's form, against what
// `transformers` says of them (tests/e2e/golden/make_llama.py).
#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "harness/base/fd.h"
#include "trainer/checkpoint/huggingface.h"

namespace bitloop::trainer {
namespace {

struct Golden {
  ModelConfig config;
  MappedTensors model, said;  // said: by transformers

  at::Tensor get(const std::string& name) const { return *said.get(name); }
  at::Tensor ids(const std::string& name) const { return get(name).to(at::kLong); }
};

MappedTensors mapped(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return *MappedTensors::parse(*MappedFile::map(fd.get()));
}

Golden load(const std::string& name) {
  const std::string folder = fmt::format("{}/tests/e2e/golden/llama/{}/", BITLOOP_SOURCE_DIR, name);
  return {*read_huggingface_config(nlohmann::json::parse(*read_file(folder + "config.json"))),
          mapped(folder + "model.safetensors"), mapped(folder + "golden.safetensors")};
}

class LlamaGolden : public testing::TestWithParam<const char*> {};

TEST_P(LlamaGolden, LogitsLossAndGradientsAreThoseOfTransformers) {
  const Golden golden = load(GetParam());
  auto read = read_huggingface(golden.config, golden.model);
  ASSERT_TRUE(read) << read.error().message;
  Transformer& model = *read;
  const ForwardContext context{.training = true, .products = Products::kFloat32};
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor logits = *model.forward(golden.ids("ids"), context);
  // Both compute in float32: a few of its epsilons, times the size of the numbers.
  const at::Tensor wanted = golden.get("logits").view(logits.sizes());
  EXPECT_LT((logits - wanted).abs().max().item<float>(), 2e-5 * wanted.abs().max().item<float>());
  const at::Tensor loss = at::cross_entropy_loss(logits, golden.ids("targets").view({-1}));
  EXPECT_NEAR(loss.item<float>(), golden.get("loss").item<float>(), 1e-5);
  torch::autograd::backward({loss}, {});
  for (const auto& [name, parameter] : model.named_parameters()) {
    const at::Tensor gradient = golden.get("grad." + name);
    EXPECT_LT((parameter.grad() - gradient).norm().item<float>(),
              2e-5 * gradient.norm().item<float>())
        << name;
  }
}

TEST_P(LlamaGolden, WhatIsGreedilyGeneratedIsWhatTransformersGenerates) {
  const at::NoGradGuard no_grad;
  const Golden golden = load(GetParam());
  auto model = read_huggingface(golden.config, golden.model);
  ASSERT_TRUE(model);
  const ForwardContext context;
  ASSERT_TRUE(model->quantize_weights(context));
  const at::Tensor wanted = golden.ids("generated");
  for (int64_t row = 0; row < wanted.size(0); ++row) {
    KeyValueCache cache = model->make_cache(golden.config.context);
    at::Tensor features = *model->prefill(golden.ids("ids")[row].narrow(0, 0, 5), cache, context);
    for (int64_t i = 0; i < wanted.size(1); ++i) {
      const at::Tensor next =
          model->logits(features.narrow(0, features.size(0) - 1, 1), context)->argmax(1);
      ASSERT_EQ(next.item<int64_t>(), wanted[row][i].item<int64_t>()) << row << " " << i;
      KeyValueCache* const caches[] = {&cache};
      features = *model->decode(next, caches, context);
    }
  }
}

TEST_P(LlamaGolden, WhatIsExportedIsTheModel) {
  const Golden golden = load(GetParam());
  auto model = read_huggingface(golden.config, golden.model);
  ASSERT_TRUE(model);
  EXPECT_EQ(
      model_difference(*read_huggingface_config(huggingface_config(golden.config)), golden.config),
      "");
  const NamedTensors exported = huggingface_tensors(*model);
  ASSERT_EQ(exported.size(), golden.model.names().size());
  for (const auto& [name, tensor] : exported)
    EXPECT_TRUE(at::equal(tensor, *golden.model.get(name))) << name;
}

INSTANTIATE_TEST_SUITE_P(Models, LlamaGolden,
                         testing::Values("as_many_heads", "shared_by_two", "shared_by_all",
                                         "odd_sizes", "like_smollm", "in_bfloat16", "in_float16"));

}  // namespace
}  // namespace bitloop::trainer
