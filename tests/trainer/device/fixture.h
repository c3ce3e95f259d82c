// What the tests of the device share: a GPU, or the reason for being skipped.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/trainer/fixture.h"
#include "trainer/device/device.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

// Opened before anything of LibTorch runs in this process.
inline const Result<at::Device>& cuda_device() {
  static const Result<at::Device> opened = open_device("cuda");
  return opened;
}

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_device()) GTEST_SKIP() << "there is no GPU here: " << cuda_device().error().message;
  }
  static at::Device cuda() { return *cuda_device(); }
};

inline std::unique_ptr<lua::Quantizer> quantizer_on(at::Device device, const std::string& text) {
  auto loaded = lua::Quantizer::load(text, "candidate.lua", lua::Limits{}, device);
  EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
  return loaded ? std::move(*loaded) : nullptr;
}

// Of the folder quantizers/.
inline std::string shipped_text(const std::string& name) {
  return read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers" / (name + ".lua"))
      .value_or("");
}
inline std::vector<std::string> shipped_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers"))
    if (entry.path().extension() == ".lua") names.push_back(entry.path().stem().string());
  return names;
}

// Wide enough for LibTorch's integer products on CUDA.
inline ModelConfig device_model() {
  return {.vocab_size = 17,
          .padded_vocab_size = 32,
          .context = 24,
          .layers = 2,
          .heads = 2,
          .width = 128};
}

// Q.init of every layer, and what the model learns in all.
inline std::vector<std::pair<std::string, at::Tensor>> learnable(Transformer& model) {
  auto all = model.named_parameters();
  for (BitLinear* layer : model.bitlinears())
    for (auto& [name, tensor] : layer->params)
      all.emplace_back(layer->layer.name + "." + name, tensor);
  return all;
}
inline void init_layers(Transformer& model, lua::Quantizer& quantizer) {
  if (!quantizer.has("init")) return;
  for (BitLinear* layer : model.bitlinears()) {
    const auto made = quantizer.init(layer->layer, layer->weight.detach());
    ASSERT_TRUE(made) << made.error().message;
    for (const auto& [name, param] : made->params)
      layer->params[name] = param.value.requires_grad_(true);
    layer->state = made->state;
  }
}

}  // namespace bitloop::trainer
