#include "trainer/eval/evaluate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

class EvaluateTest : public testing::Test {
 protected:
  EvaluateTest() : model_(small_model(), false, 3) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += static_cast<char>(i * i % 17);
    text_ = TokenStream::from_bytes(text);
  }
  EvalScore score(const EvalOptions& options) {
    const auto made = evaluate(model_, text_, options, {.quantizer = ternary_.get()});
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : EvalScore{};
  }
  Transformer model_;
  TokenStream text_;
  std::unique_ptr<lua::Quantizer> ternary_ = quantizer_from(kTernaryLua);
};

TEST_F(EvaluateTest, TheLastWindowsCountToo) {
  const int64_t windows = validation_windows(text_, 12);
  ASSERT_EQ(windows, 33);  // 8 batches of 4, and one window more
  const EvalScore in_fours = score({.batch = 4}), one_by_one = score({.batch = 1});
  EXPECT_EQ(in_fours.tokens, windows * 12);
  EXPECT_EQ(one_by_one.tokens, windows * 12);
  EXPECT_NEAR(in_fours.loss, one_by_one.loss, 1e-5);  // each token has the same weight
}

TEST_F(EvaluateTest, WindowsMayBeShorterThanTheContext) {
  const EvalScore score_of_fives = score({.batch = 4, .window = 5});
  EXPECT_EQ(score_of_fives.tokens, validation_windows(text_, 5) * 5);
  at::NoGradGuard no_grad;
  const ForwardContext context{.quantizer = ternary_.get()};
  ASSERT_TRUE(model_.quantize_weights(context));
  const int64_t windows = validation_windows(text_, 5);
  double sum = 0.0;
  for (int64_t window = 0; window < windows; ++window) {
    const Batch batch = validation_batch(text_, window, 1, 5);
    const auto logits = model_.forward(batch.inputs_BT, context);
    ASSERT_TRUE(logits);
    sum += at::cross_entropy_loss(*logits, batch.targets_BT.view({-1})).item<double>();
  }
  EXPECT_NEAR(score_of_fives.loss, sum / static_cast<double>(windows), 1e-5);
}

TEST_F(EvaluateTest, LambdaIsOneUnlessAskedOtherwise) {
  const double quantised = score({.batch = 4}).loss;
  EXPECT_EQ(score({.batch = 4, .lambda = 1.0}).loss, quantised);
  const auto plain = evaluate(model_, text_, {.batch = 4}, {});
  ASSERT_TRUE(plain);
  EXPECT_NEAR(score({.batch = 4, .lambda = 0.0}).loss, plain->loss, 1e-6);
  EXPECT_NE(score({.batch = 4, .lambda = 0.5}).loss, quantised);
}

TEST_F(EvaluateTest, EveryWindowIsReadOnce) {
  at::NoGradGuard no_grad;
  const ForwardContext context{.quantizer = ternary_.get()};
  double sum = 0.0;
  ASSERT_TRUE(model_.quantize_weights(context));
  for (int64_t window = 0; window < 33; ++window) {
    const Batch batch = validation_batch(text_, window, 1, 12);
    const auto logits = model_.forward(batch.inputs_BT, context);
    ASSERT_TRUE(logits);
    sum += at::cross_entropy_loss(*logits, batch.targets_BT.view({-1})).item<double>();
  }
  EXPECT_NEAR(score({.batch = 4}).loss, sum / 33, 1e-5);
}

TEST_F(EvaluateTest, TheOrderOfBatchesAndOfRowsChangesNoBit) {
  const double plain = score({.batch = 4}).loss;
  EXPECT_EQ(score({.batch = 4, .reversed = true}).loss, plain);
  for (const uint64_t seed : {1, 2})
    EXPECT_EQ(score({.batch = 4, .guarded = true, .order_seed = seed}).loss, plain);
}

TEST_F(EvaluateTest, AQuickLookReadsFullBatchesSpreadOverTheSplit) {
  EXPECT_EQ(score({.batches = 2, .batch = 4}).tokens, 2 * 4 * 12);
  EXPECT_EQ(score({.batches = 100, .batch = 4}).tokens, 8 * 4 * 12);
  EXPECT_EQ(score({.batches = 3, .batch = 100}).tokens, 33 * 12);  // fewer windows than a batch
}

}  // namespace
}  // namespace bitloop::trainer
