#include "trainer/audit/audits.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"
#include "trainer/audit/bits.h"
#include "trainer/eval/evaluate.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

// Each cheat beside a legal file that resembles it.
class AuditsTest : public testing::Test {
 protected:
  AuditsTest() : model_(small_model(), false, 3) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += static_cast<char>(i * 7 % 17);
    text_ = TokenStream::from_bytes(text);
  }
  Finding causality(lua::Quantizer& quantizer, bool paper_compat = false) {
    return audit_causality(model_, quantizer, text_,
                           {.paper_compat = paper_compat, .allowed_config = {}}, scored_, kBatch,
                           CausalityCuts::kThree, leaks_);
  }
  Finding purity(const std::string& lua) {
    const auto one = quantizer_from(lua), two = quantizer_from(lua);
    return audit_purity(model_, *one, *two, scored_);
  }
  static constexpr int64_t kBatch = 4;
  const ForwardContext scored_{.step = 9, .total_steps = 9};
  Transformer model_;
  TokenStream text_;
  bool leaks_ = false;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return text.replace(place, from.size(), to);
}

const std::string kPerTensor =
    replaced(kTernaryLua, "x:abs():amax{dim = -1, keepdim = true}:clamp", "x:abs():amax():clamp");

TEST_F(AuditsTest, EachShippedQuantizerPasses) {
  for (const char* name : {"float", "ternary", "binary", "int2"}) {
    const auto quantizer = shipped_quantizer(name), fresh = shipped_quantizer(name);
    at::NoGradGuard no_grad;
    ASSERT_TRUE(model_.quantize_weights({.quantizer = quantizer.get()})) << name;
    EXPECT_TRUE(audit_levels(model_, quantizer->format()).ok) << name;
    EXPECT_TRUE(audit_purity(model_, *quantizer, *fresh, scored_).ok) << name;
    EXPECT_TRUE(causality(*quantizer).ok) << name;
    EXPECT_FALSE(leaks_) << name;
  }
}

TEST_F(AuditsTest, AScaleOverAllRowsLooksAhead) {
  const auto quantizer = quantizer_from(kPerTensor);
  const Finding strict = causality(*quantizer);
  EXPECT_FALSE(strict.ok);
  EXPECT_EQ(strict.status, "rejected");
  EXPECT_THAT(strict.detail, HasSubstr("look-ahead"));
  const Finding allowed = causality(*quantizer, true);
  EXPECT_TRUE(allowed.ok);
  EXPECT_TRUE(leaks_);
}

TEST_F(AuditsTest, LookAheadThatWaitsForTheScoreIsSeen) {
  for (const char* condition :
       {"ctx.step == 9", "ctx.progress == 1", "x:size(0) == 48"}) {  // 4 windows of 12 tokens
    const auto quantizer = quantizer_from(
        replaced(kTernaryLua, "return (x / scale)",
                 std::string("if ") + condition +
                     " then scale = x:abs():amax() / 127 end\n  return (x / scale)"));
    EXPECT_FALSE(causality(*quantizer).ok) << condition;
  }
}

TEST_F(AuditsTest, AbsmaxOverTheWrongDimensionLooksAhead) {
  const auto quantizer =
      quantizer_from(replaced(kTernaryLua, "x:abs():amax{dim = -1, keepdim = true}",
                              "x:abs():amax{dim = 0, keepdim = true}"));
  EXPECT_FALSE(causality(*quantizer).ok);
}

TEST_F(AuditsTest, ReadingEarlierRowsMixesRowsToo) {
  const auto quantizer = quantizer_from(
      replaced(kTernaryLua, "local scale = x:abs()",
               "local n = x:size(0)\n  x = (x + torch.cat({x:narrow(0, 0, 1), x:narrow(0, 0, n "
               "- 1)}, 0)) / 2\n  local scale = x:abs()"));
  EXPECT_FALSE(causality(*quantizer).ok);
}

TEST_F(AuditsTest, AGuardedScoreKeepsItsBitsForAFunctionOfSingleRowsAlone) {
  const auto loss = [&](const std::string& lua, uint64_t seed) {
    const auto quantizer = quantizer_from(lua);
    const auto score =
        evaluate(model_, text_, {.batch = kBatch, .guarded = true, .order_seed = seed},
                 {.quantizer = quantizer.get(), .step = 9, .total_steps = 9});
    EXPECT_TRUE(score) << score.error().message;
    return score ? score->loss : 0.0;
  };
  EXPECT_EQ(loss(kTernaryLua, 1), loss(kTernaryLua, 2));
  // Each row takes over a little of the one before it: no probe needs to find this, the two scores
  // differ.
  const std::string mixing =
      replaced(kTernaryLua, "local scale = x:abs()",
               "x = x + x:roll{shifts = 1, dims = 0} * 0.3\n  local scale = x:abs()");
  EXPECT_NE(loss(mixing, 1), loss(mixing, 2));
}

TEST_F(AuditsTest, AGuardedScoreRefusesAScaleOverRowsWhateverSetsItOff) {
  // No probe has this activation, and no order of rows changes the largest of all.
  const std::string hidden = replaced(kTernaryLua, "return (x / scale)",
                                      "if x:amax():item() > 1e-3 then scale = x:abs():amax() / "
                                      "127 end\n  return (x / scale)");
  const auto quantizer = quantizer_from(hidden);
  const auto score =
      evaluate(model_, text_, {.batch = kBatch, .guarded = true}, {.quantizer = quantizer.get()});
  ASSERT_FALSE(score);
  EXPECT_EQ(score.error().code, "rejected");
  EXPECT_THAT(score.error().message, HasSubstr("its scale is not the same for two sets of rows"));
}

TEST_F(AuditsTest, AGuardedScoreRefusesWhatOneCallTellsTheNext) {
  // The first of the two calls keeps its scale, the second uses it and forgets it again.
  const auto quantizer = quantizer_from(
      replaced(replaced(kTernaryLua, "local Q", "local kept\nlocal Q"), "return (x / scale)",
               "if kept then scale = kept; kept = nil else scale = x:abs():amax() / 127; kept = "
               "scale end\n  return (x / scale)"));
  const auto score =
      evaluate(model_, text_, {.batch = kBatch, .guarded = true}, {.quantizer = quantizer.get()});
  ASSERT_FALSE(score);
  EXPECT_EQ(score.error().code, "rejected");
  EXPECT_THAT(score.error().message, HasSubstr("changes a variable"));
}

TEST_F(AuditsTest, AGuardedScoreTakesScalesOfEveryKind) {
  for (const char* scale : {"torch.tensor(0.05)", "torch.ones(1, x:size(1)) * 0.05",
                            "x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127"}) {
    const auto quantizer = quantizer_from(replaced(
        kTernaryLua, "x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127", scale));
    const auto loss = [&](bool guarded) {
      const auto score = evaluate(model_, text_, {.batch = kBatch, .guarded = guarded},
                                  {.quantizer = quantizer.get()});
      EXPECT_TRUE(score) << scale << ": " << score.error().message;
      return score ? score->loss : 0.0;
    };
    EXPECT_EQ(loss(true), loss(false)) << scale;
  }
}

TEST_F(AuditsTest, AGuardedScoreRefusesAMemory) {
  const auto quantizer = quantizer_from(
      replaced(replaced(kTernaryLua, "local Q", "local kept = 0\nlocal Q"), "local scale = w:abs()",
               "kept = w:sum():item()\n  local scale = w:abs()"));
  const auto score =
      evaluate(model_, text_, {.batch = kBatch, .guarded = true}, {.quantizer = quantizer.get()});
  ASSERT_FALSE(score);
  EXPECT_EQ(score.error().code, "rejected");
}

TEST_F(AuditsTest, AConstantScaleDoesNot) {
  const auto quantizer = quantizer_from(replaced(
      kTernaryLua, "x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127", "0.05"));
  EXPECT_TRUE(causality(*quantizer).ok);
  EXPECT_FALSE(leaks_);
}

TEST_F(AuditsTest, RememberingInOneLayerOnlyIsImpure) {
  const Finding found = purity(replaced(
      replaced(kTernaryLua, "local Q", "local calls = 0\nlocal Q"), "local scale = w:abs()",
      "if ctx.layer.index == 5 then calls = calls + 1 end\n  local scale = w:abs()"));
  EXPECT_FALSE(found.ok);
  EXPECT_THAT(found.detail, HasSubstr("h.1.attn.c_proj"));
}

TEST_F(AuditsTest, RememberingBetweenCallsIsImpure) {
  const std::string counting =
      replaced(replaced(kTernaryLua, "local Q", "local calls = 0\nlocal Q"),
               "local scale = w:abs()", "calls = calls + 1\n  local scale = w:abs()");
  EXPECT_FALSE(purity(counting).ok);
  const std::string keeping =
      replaced(replaced(kTernaryLua, "local Q", "local kept\nlocal Q"), "local scale = w:abs()",
               "kept = kept or w\n  local scale = kept:abs()");
  EXPECT_FALSE(purity(keeping).ok);
  EXPECT_TRUE(purity(replaced(kTernaryLua, "local Q", "local unused = 0\nlocal Q")).ok);
}

TEST_F(AuditsTest, AValueThatIsNotCodesTimesScaleIsCaught) {
  const auto quantizer = quantizer_from(kTernaryLua);
  at::NoGradGuard no_grad;
  ASSERT_TRUE(model_.quantize_weights({.quantizer = quantizer.get()}));
  BitLinear* layer = model_.bitlinears()[3];
  layer->used_weight =
      layer->used_weight + layer->weight * 1e-6;  // bits hidden in the low mantissa
  EXPECT_FALSE(audit_levels(model_, quantizer->format()).ok);
}

TEST_F(AuditsTest, BitsCountLevelsScalesAndBiases) {
  at::NoGradGuard no_grad;
  const auto bits = [&](const std::string& lua) {
    const auto quantizer = quantizer_from(lua);
    EXPECT_TRUE(model_.quantize_weights({.quantizer = quantizer.get()}));
    return bits_per_weight(model_, quantizer.get());
  };
  const double weights = 2 * 12 * 32 * 32, rows = 2 * 9 * 32;
  EXPECT_NEAR(bits(kTernaryLua), std::log2(3.0) + 8 * 16 / weights, 1e-12);
  EXPECT_NEAR(
      bits(replaced(kTernaryLua, "w:abs():mean()", "w:abs():mean{dim = 1, keepdim = true}")),
      std::log2(3.0) + rows * 16 / weights, 1e-12);
  EXPECT_NEAR(bits(replaced(replaced(kTernaryLua, "levels = {-1, 0, 1}",
                                     "levels = {-1, 0, 1}, scale_dtype = \"float32\""),
                            "w:abs():mean()", "w:abs():mean{dim = 1, keepdim = true}")),
              std::log2(3.0) + rows * 32 / weights, 1e-12);
  EXPECT_EQ(bits("return {name = 'float'}"), 32.0);
}

}  // namespace
}  // namespace bitloop::trainer
