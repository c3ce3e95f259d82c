#include "harness/sessions/decision.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

// A noise floor of 0.01 with 50 degrees of freedom: two single runs differ by ±0.0284 by chance.
tasks::BaselineTable table() {
  tasks::BaselineTable table;
  table.baselines = {{"binary", 1.09375, 2.417, 0.004, 3},
                     {"ternary", 1.585, 2.440, 0.010, 3},
                     {"int4", 4.0, 2.300, 0.010, 3}};
  table.noise_floor = tasks::NoiseFloor{0.01, 50};
  return table;
}

class Tests {
 public:
  Tests& add(double val_loss, double bits = 1.585) {
    TestRecord test = record("ok");
    test.row.val_loss = val_loss;
    test.row.bits_per_weight = bits;
    list.push_back(test);
    return *this;
  }
  Tests& fail(const std::string& status) {
    list.push_back(record(status));
    return *this;
  }
  Decision newest(const tasks::BaselineTable& of = table()) const {
    return decide(list, list.back().number, of);
  }
  std::vector<TestRecord> list;

 private:
  TestRecord record(const std::string& status) const {
    TestRecord test;
    test.number = static_cast<int64_t>(list.size()) + 1;
    test.status = status;
    test.row.status = status;
    return test;
  }
};

TEST(Decision, TheFirstScoreIsKept) {
  const Decision decision = Tests().fail("script_error").add(2.44).newest();
  EXPECT_EQ(decision.verdict, "first");
  EXPECT_TRUE(decision.keep);
  EXPECT_FALSE(decision.against);
  EXPECT_NEAR(*decision.noise, 0.0284, 1e-4);
}

TEST(Decision, LossAndBitsAreComparedAsAPair) {
  const auto of = [](double loss, double bits) {
    const Decision decision = Tests().add(2.44).add(loss, bits).newest();
    return std::pair(decision.verdict, decision.keep);
  };
  using Answer = std::pair<std::string, bool>;
  EXPECT_EQ(of(2.40, 1.585), Answer("better", true));
  EXPECT_EQ(of(2.40, 1.0), Answer("better", true));
  EXPECT_EQ(of(2.40, 2.0), Answer("trade_off", true));
  EXPECT_EQ(of(2.48, 1.585), Answer("worse", false));
  EXPECT_EQ(of(2.48, 2.0), Answer("worse", false));
  EXPECT_EQ(of(2.48, 1.0), Answer("trade_off", false));
  EXPECT_EQ(of(2.43, 1.585), Answer("inside_noise", false));
  EXPECT_EQ(of(2.45, 1.0), Answer("inside_noise", true));
  EXPECT_EQ(of(2.40, 1.5853), Answer("better", true));  // a layer's scale more is the same size
}

TEST(Decision, WhatIsInsideTheNoiseDoesNotCreepUpwards) {
  Tests tests;
  tests.add(2.44).add(2.42).add(2.40);
  const Decision decision = tests.newest();
  EXPECT_EQ(decision.against->test, 1);  // not the lucky second
  EXPECT_EQ(decision.verdict, "better");
  EXPECT_EQ(best_of(tests.list, table())->test, 3);
  tests.fail("diverged").add(2.46);
  EXPECT_EQ(tests.newest().against->test, 3);
  EXPECT_NE(tests.newest().advice.find("Revert to test #3 (POST …/revert {\"test\": 3})"),
            std::string::npos);
}

TEST(Decision, ATestWithoutAScoreSaysWhereToGo) {
  const Decision failed = Tests().add(2.44).fail("script_error").newest();
  EXPECT_EQ(failed.verdict, "unknown");
  EXPECT_TRUE(failed.advice.starts_with("Revert to test #1")) << failed.advice;
  EXPECT_FALSE(failed.difference);
  EXPECT_TRUE(failed.baselines.empty());
  const Decision lost = Tests().add(2.44).fail("infrastructure").newest();
  EXPECT_EQ(lost.advice,
            "Keep, and test again: the machine failed, not the candidate, and gave the test back.");
  EXPECT_FALSE(best_of(Tests().fail("timeout").list, table()));
  EXPECT_FALSE(best_of({}, table()));
}

TEST(Decision, WithoutANoiseFloorNothingIsClaimed) {
  tasks::BaselineTable unmeasured;
  const Decision lower = Tests().add(2.44).add(2.0).newest(unmeasured);
  EXPECT_EQ(lower.verdict, "unknown");
  EXPECT_FALSE(lower.noise);
  EXPECT_EQ(lower.advice,
            "Keep: the loss is lower at the same bits per weight, but this task's noise was never "
            "measured.");
  EXPECT_TRUE(to_json(lower)["noise"].is_null());
  EXPECT_FALSE(Tests().add(2.44).add(2.44).newest(unmeasured).keep);
}

TEST(Decision, BaselinesAreTernaryAndTheBestAtNoMoreBits) {
  const Decision decision = Tests().add(2.40).newest();
  ASSERT_EQ(decision.baselines.size(), 2U);
  EXPECT_EQ(decision.baselines[0].name, "ternary");
  EXPECT_EQ(decision.baselines[0].verdict, "better");
  EXPECT_NEAR(decision.baselines[0].difference, -0.04, 1e-9);
  EXPECT_EQ(decision.baselines[1].name, "binary");  // int4 has more bits
  EXPECT_EQ(decision.baselines[1].verdict, "inside_noise");
  EXPECT_EQ(Tests().add(2.2, 4.0).newest().baselines[1].name, "int4");
  EXPECT_EQ(Tests().add(2.2, 1.0).newest().baselines.size(), 1U);  // none has so few
}

TEST(Decision, TheSameScoreToTheLastDigitIsTheSameBehaviour) {
  EXPECT_EQ(Tests().add(2.44).add(2.41).add(2.44).newest().same_as, 1);
  EXPECT_FALSE(Tests().add(2.44).add(2.41).add(2.4400000001).newest().same_as);
}

TEST(Decision, TheLineSaysItInWords) {
  EXPECT_EQ(decision_line(Tests().add(2.44).add(2.50).newest()),
            "[Decision] worse than test #1: val_loss +0.0600 (noise ±0.0284). Revert to test #1 "
            "(POST …/revert {\"test\": 1}): the loss is higher beyond the noise, at the same bits "
            "per weight.");
  EXPECT_EQ(decision_line(Tests().add(2.44).add(2.44).newest()),
            "[Decision] inside the noise of test #1: val_loss +0.0000 (noise ±0.0284), the very "
            "score of test #1: the two do the same. Revert to test #1 (POST …/revert {\"test\": "
            "1}), or keep the shorter file: the loss cannot be told apart, at the same bits per "
            "weight.");
}

}  // namespace
}  // namespace bitloop::sessions
