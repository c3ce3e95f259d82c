#include "harness/tasks/estimate.h"

#include <gtest/gtest.h>

#include "harness/tasks/preset.h"
#include "tests/harness/tasks/fixture.h"

namespace bitloop::tasks {
namespace {

nlohmann::json preset(const char* name) {
  const auto loaded = load_preset(Share().path(), name);
  EXPECT_TRUE(loaded) << name;
  return loaded ? *loaded : nlohmann::json();
}

TEST(Estimate, MediumIsThePublishedModelAndWhatWasMeasured) {
  const auto made = estimate(preset("medium"), {});
  // Embeddings of 50,304 and 1,024 rows, 24 layers of 12 D^2 with their biases, 49 norms.
  EXPECT_EQ(made.parameters, 354'871'296);
  EXPECT_EQ(made.tokens, int64_t{13535} * 512 * 1024);
  EXPECT_NEAR(made.flops_per_token, 2.272e9, 1e6);
  // On an H200: 221,500 tokens/s, 67.7 GB at 64 x 1,024 tokens.
  EXPECT_NEAR(made.tokens_per_s, 221'500, 5'000);
  EXPECT_NEAR(made.gpu_bytes() / 1e9, 67.7, 3.0);
  EXPECT_NEAR(made.hours, 8.9, 0.2);
}

TEST(Estimate, MoreGpusAndSmallerMicroBatches) {
  nlohmann::json medium = preset("medium");
  const Estimate one = estimate(medium, {}), two = estimate(medium, {.count = 2});
  EXPECT_DOUBLE_EQ(two.hours, one.hours / 2);
  EXPECT_EQ(two.gpu_bytes(), one.gpu_bytes());
  medium["train"]["micro_batch"] = 32;
  const Estimate half = estimate(medium, {.tflops = 395});
  EXPECT_DOUBLE_EQ(half.activation_bytes, one.activation_bytes / 2);
  EXPECT_LT(half.gpu_bytes(), 40e9);
  EXPECT_DOUBLE_EQ(half.hours, one.hours * 2);
}

TEST(Estimate, ALlamasParametersAndTokens) {
  const Estimate smollm = estimate(preset("smollm-135m"), {});
  EXPECT_EQ(smollm.parameters, 134'515'008);  // as Hugging Face counts SmolLM-135M
  EXPECT_EQ(smollm.tokens, int64_t{1000} * 4 * 256);
  // 6 a weight, and attention's products of half a square.
  EXPECT_NEAR(smollm.flops_per_token, 6.0 * (134'515'008 - 61 * 576) + 6.0 * 30 * 256 * 576, 1);
  const Estimate largest = estimate(preset("nativebit-2.2b"), {});
  EXPECT_NEAR(static_cast<double>(largest.parameters), 2.19e9, 0.01e9);
  EXPECT_GT(largest.gpu_bytes(), 18.0 * 2.19e9);
  nlohmann::json untied = preset("tiny-llama");
  EXPECT_EQ(estimate(untied, {}).parameters, 820'352);
  untied["model"]["tied_head"] = false;
  untied["model"]["bias"] = true;
  EXPECT_EQ(estimate(untied, {}).parameters,
            820'352 + 256 * 128 + 4 * (128 + 2 * 64 + 128 + 2 * 384 + 128));
}

}  // namespace
}  // namespace bitloop::tasks
