#include "harness/baselines/verdict.h"

#include <gmock/gmock.h>

#include "tests/harness/baselines/fixture.h"

namespace bitloop::baselines {
namespace {

using testing::HasSubstr;

Verdict judge(const Scores& a, const Scores& b) {
  const Summary summary = summarize(a_trained_plan({a, b}));
  return compare(*summary.find(a.name), *summary.find(b.name));
}

const Scores kTernaryScores = {"ternary", 1.585, {1.780, 1.782, 1.781}};

TEST(Verdict, LossAndBitsDecideTogether) {
  const std::vector<std::optional<double>> lower = {1.760, 1.763, 1.760};
  const std::vector<std::optional<double>> higher = {1.800, 1.803, 1.800};
  const std::vector<std::optional<double>> alike = {1.783, 1.780, 1.781};
  EXPECT_EQ(judge(kTernaryScores, {"b", 1.585, lower}).outcome, Outcome::kBetter);
  EXPECT_EQ(judge(kTernaryScores, {"b", 1.0, lower}).outcome, Outcome::kBetter);
  EXPECT_EQ(judge(kTernaryScores, {"b", 2.0, lower}).outcome, Outcome::kTradeOff);
  EXPECT_EQ(judge(kTernaryScores, {"b", 1.585, higher}).outcome, Outcome::kWorse);
  EXPECT_EQ(judge(kTernaryScores, {"b", 2.0, higher}).outcome, Outcome::kWorse);
  EXPECT_EQ(judge(kTernaryScores, {"b", 1.0, higher}).outcome, Outcome::kTradeOff);
  EXPECT_EQ(judge(kTernaryScores, {"b", 1.585, alike}).outcome, Outcome::kInsideNoise);
  EXPECT_EQ(judge(kTernaryScores, {"b", 1.5853, lower}).outcome, Outcome::kBetter);  // same bits
}

TEST(Verdict, SaysItInOneSentence) {
  const Verdict better = judge(kTernaryScores, {"b", 1.085, {1.760, 1.763, 1.760}});
  EXPECT_EQ(better.sentence,
            "b is better than ternary: its val_loss is 0.0200 nats lower (95% interval 0.0175 to "
            "0.0225, p = 0.0008, 3 pairs), with 0.500 fewer bits per weight.");
  EXPECT_THAT(judge(kTernaryScores, {"b", 1.585, {1.783, 1.780, 1.781}}).sentence,
              HasSubstr("inside the noise"));
}

TEST(Verdict, OnePairOrNoneDecidesNothing) {
  const Verdict one = judge({"a", 1, {1.7}}, {"b", 1, {1.6}});
  EXPECT_EQ(one.outcome, Outcome::kUndecided);
  EXPECT_THAT(one.sentence, HasSubstr("more seeds"));
  const Verdict none = judge({"a", 1, {1.7, {}}}, {"b", 1, {{}, 1.6}});
  EXPECT_EQ(none.outcome, Outcome::kUndecided);
  EXPECT_FALSE(none.val_loss);
  EXPECT_THAT(none.sentence, HasSubstr("cannot be compared"));
}

TEST(Verdict, AsJsonMissingNumbersAreNull) {
  const Summary summary = summarize(a_trained_plan({{"a", 1, {1.7, {}}}, {"b", 1, {1.6, 1.6}}}));
  const Entry& a = *summary.find("a");
  const Entry& b = *summary.find("b");
  const auto document = verdict_json(summary, a, b, compare(a, b));
  EXPECT_EQ(document["verdict"], "undecided");
  EXPECT_EQ(document["difference"]["pairs"], 1);
  EXPECT_TRUE(document["difference"]["p_value"].is_null());
  EXPECT_TRUE(document["a"]["val_losses"][1].is_null());
  EXPECT_EQ(document["a"]["statuses"], nlohmann::ordered_json({"ok", "diverged"}));
  const std::string text = verdict_for_people(a, b, compare(a, b));
  EXPECT_THAT(text, HasSubstr("diverged"));
  EXPECT_THAT(text, HasSubstr("-0.1000"));
}

}  // namespace
}  // namespace bitloop::baselines
