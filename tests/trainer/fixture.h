// What the trainer's tests share: quantizers from text, small models, the folder of oracles.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "harness/base/fd.h"
#include "lua/quantizer/quantizer.h"
#include "trainer/job.h"

namespace bitloop::trainer {

inline constexpr const char* kTernaryLua = R"(
local Q = {name = "t", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx)
  local scale = w:abs():mean():clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / scale):round():clamp{min = -128, max = 127}, scale
end
return Q
)";

inline std::unique_ptr<lua::Quantizer> quantizer_from(const std::string& text,
                                                      at::Device device = at::kCPU) {
  auto loaded = lua::Quantizer::load(text, "candidate.lua", lua::Limits{}, device);
  EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
  return loaded ? std::move(*loaded) : nullptr;
}

inline std::unique_ptr<lua::Quantizer> shipped_quantizer(const std::string& name,
                                                         at::Device device = at::kCPU) {
  const auto text =
      read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers" / (name + ".lua"));
  EXPECT_TRUE(text) << name;
  return text ? quantizer_from(*text, device) : nullptr;
}

inline ModelConfig small_model() {
  return {.vocab_size = 17,
          .padded_vocab_size = 32,
          .context = 12,
          .layers = 2,
          .heads = 2,
          .width = 32};
}

}  // namespace bitloop::trainer
