#include "trainer/audit/probes.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

// What attention may be over: one of them is right.
enum class Over { kTokens, kHeads, kSequences };

// One block of attention with its axis as it is wanted, written down apart from the trainer's.
class Attending {
 public:
  explicit Attending(Over over) : over_(over) {
    at::manual_seed(4);
    const auto normal = [](at::IntArrayRef shape) { return at::randn(shape) * 0.5; };
    wte_ = normal({kVocabulary, D});
    wpe_ = normal({kContext, D});
    qkv_ = normal({D, 3 * D});
    proj_ = normal({D, D});
  }
  Predict predict() const {
    return [this](const at::Tensor& ids, const at::Tensor& positions) -> Result<at::Tensor> {
      const int64_t B = ids.size(0), T = ids.size(1);
      const at::Tensor x = wte_.index({ids}) +
                           (positions.defined() ? wpe_.index({positions}) : wpe_.narrow(0, 0, T));
      // (3, B, T, H, S), with the axis that is attended over last but one
      const at::Tensor qkv = x.matmul(qkv_).view({B, T, 3, H, S}).permute({2, 0, 1, 3, 4});
      const int64_t axis = over_ == Over::kTokens ? 1 : over_ == Over::kHeads ? 2 : 0;
      const auto side = [&](int64_t i) { return qkv[i].movedim(axis, 2); };
      at::Tensor scores =
          side(0).matmul(side(1).transpose(2, 3)) / std::sqrt(static_cast<double>(S));
      if (over_ == Over::kTokens)
        scores = scores.masked_fill(at::ones({T, T}, at::kBool).triu(1), -INFINITY);
      const at::Tensor y = scores.softmax(-1).matmul(side(2)).movedim(2, axis).reshape({B, T, D});
      return (x + y.matmul(proj_)).matmul(wte_.t()).view({B * T, -1});
    };
  }
  static constexpr int64_t kVocabulary = 13, kContext = 16, H = 4, S = 8, D = H * S;

 private:
  Over over_;
  at::Tensor wte_, wpe_, qkv_, proj_;
};

at::Tensor some_ids(int64_t B) {
  at::manual_seed(9);
  return at::randint(0, Attending::kVocabulary, {B, Attending::kContext}, at::kLong);
}

TEST(Probes, ASoundModelIsSensitiveToItsContextAndOneThatAttendsOverHeadsIsNot) {
  const Attending sound(Over::kTokens), heads(Over::kHeads);
  EXPECT_GT(*context_sensitivity(sound.predict(), some_ids(2)), 0.1);
  EXPECT_LT(*context_sensitivity(heads.predict(), some_ids(2)), 1e-4);
}

TEST(Probes, AttentionOverTheWrongAxisIsSeenInRandomWeights) {
  EXPECT_TRUE(*attends_over_tokens(Attending(Over::kTokens).predict(), some_ids(3)));
  EXPECT_FALSE(*attends_over_tokens(Attending(Over::kHeads).predict(), some_ids(3)));
}

TEST(Probes, AttentionOverTheSequencesOfABatchIsSeenToo) {
  // The first tokens of all sequences change, the later places stay as they are.
  EXPECT_FALSE(*attends_over_tokens(Attending(Over::kSequences).predict(), some_ids(3)));
}

class ModelProbesTest : public testing::Test {
 protected:
  ModelProbesTest() : model_(small_model(), false, 3), quantizer_(quantizer_from(kTernaryLua)) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += static_cast<char>(i * 7 % 17);
    text_ = TokenStream::from_bytes(text);
    scored_.quantizer = quantizer_.get();
    at::NoGradGuard no_grad;
    // As after some training: the first weights' differences are too small to tell.
    for (auto& [name, tensor] : model_.named_parameters())
      if (tensor.dim() == 2) tensor.detach().mul_(12);
  }
  std::vector<DeadLayer> dead() {
    at::NoGradGuard no_grad;
    EXPECT_TRUE(model_.quantize_weights(scored_));
    const auto found = dead_layers(model_, scored_, validation_batch(text_, 0, 1, 12).inputs_BT);
    EXPECT_TRUE(found);
    return found ? *found : std::vector<DeadLayer>();
  }
  Probes probes(double loss) {
    at::NoGradGuard no_grad;
    EXPECT_TRUE(model_.quantize_weights(scored_));
    auto made = probe_score(model_, text_, scored_, loss);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made ? *made : Probes();
  }
  BitLinear& layer(size_t i) { return *model_.bitlinears()[i]; }

  Transformer model_;
  std::unique_ptr<lua::Quantizer> quantizer_;
  ForwardContext scored_{.step = 9, .total_steps = 9};
  TokenStream text_;
};

TEST_F(ModelProbesTest, ASoundModelPasses) {
  EXPECT_TRUE(dead().empty());
  EXPECT_TRUE(*attends_over_tokens(predict_with(model_, scored_),
                                   validation_batch(text_, 0, 2, 12).inputs_BT));
  const Probes found = probes(1.0);
  ASSERT_EQ(found.findings.size(), 2u);
  EXPECT_TRUE(found.flags.empty()) << found.findings[0].detail;
  EXPECT_THAT(found.findings[1].detail, HasSubstr("all 8 layers"));
}

TEST_F(ModelProbesTest, ALayerOfZerosIsDeadAndWhatItReadsIsIdle) {
  layer(7).weight.detach().zero_();  // h.1.mlp.c_proj
  const std::vector<DeadLayer> found = dead();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].name, "h.1.mlp.c_fc");
  EXPECT_FALSE(found[0].constant);
  EXPECT_EQ(found[1].name, "h.1.mlp.c_proj");
  EXPECT_TRUE(found[1].constant);
  const Probes flagged = probes(1.0);
  EXPECT_EQ(flagged.flags, std::vector<std::string>{"dead_layers"});
  EXPECT_TRUE(flagged.findings[1].ok);  // the score stands
  EXPECT_THAT(flagged.findings[1].detail,
              HasSubstr("2 of 8 layers do nothing (flag dead_layers): h.1.mlp.c_proj give every "
                        "token the same; what h.1.mlp.c_fc give changes no logit"));
}

TEST_F(ModelProbesTest, AModelWithoutAttentionIsFlaggedOnceItHasLearned) {
  for (const size_t i : {1u, 5u}) layer(i).weight.detach().zero_();  // both attn.c_proj
  const Probes found = probes(1.0);
  EXPECT_THAT(found.flags, testing::Contains("context_blind"));
  EXPECT_THAT(found.findings[0].detail, HasSubstr("ignores what comes before the last token"));
  EXPECT_FALSE(*attends_over_tokens(predict_with(model_, scored_),
                                    validation_batch(text_, 0, 2, 12).inputs_BT));
  // A guess, ln 17 = 2.83: it has not learned to use anything yet.
  EXPECT_THAT(probes(2.8).flags, testing::Not(testing::Contains("context_blind")));
}

TEST_F(ModelProbesTest, ValuesOfAnEarlierStepAreStale) {
  at::NoGradGuard no_grad;
  quantizer_ = quantizer_from([] {
    std::string text = kTernaryLua;
    const std::string levels = "levels = {-1, 0, 1}";
    return text.replace(text.find(levels), levels.size(), levels + ", requantize_every = 4");
  }());
  scored_.quantizer = quantizer_.get();
  ForwardContext training{
      .quantizer = quantizer_.get(), .step = 4, .total_steps = 9, .training = true};
  ASSERT_TRUE(model_.quantize_weights(training));
  for (BitLinear* each : model_.bitlinears()) each->weight.detach().neg_();
  // A score that is made as training is: with the codes that were kept.
  training.step = 5;
  ASSERT_TRUE(model_.quantize_weights(training));
  const ScoredValues stale(model_);
  ASSERT_TRUE(model_.quantize_weights(scored_));
  const Finding found = stale.compare(model_);
  EXPECT_FALSE(found.ok);
  EXPECT_EQ(found.status, "rejected");
  EXPECT_THAT(found.detail, HasSubstr("h.0.attn.c_attn: the values that were scored are not"));
  const ScoredValues fresh(model_);
  ASSERT_TRUE(model_.quantize_weights(scored_));
  EXPECT_TRUE(fresh.compare(model_).ok);
}

}  // namespace
}  // namespace bitloop::trainer
