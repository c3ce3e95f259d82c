#include "harness/baselines/verification.h"

#include <gtest/gtest.h>

namespace bitloop::baselines {
namespace {

ledger::Row a_row(const std::string& type, const std::string& session, int64_t test,
                  std::optional<double> loss, const std::string& description = "") {
  ledger::Row row;
  row.type = type;
  row.session = session;
  row.test = test;
  row.status = loss ? "ok" : "diverged";
  row.val_loss = loss;
  row.description = description;
  return row;
}

std::vector<ledger::Row> a_ledger() {
  const std::string mark = verification_mark("brave-otter-1f3a", 2);
  return {a_row("agent", "brave-otter-1f3a", 2, 2.0), a_row("verify", "verify", 1, 2.25, mark),
          a_row("verify", "verify", 2, 2.75, mark),
          a_row("verify", "verify", 3, 9.0, verification_mark("brave-otter-1f3a", 1)),
          // Words that anybody may write into an idea.
          a_row("agent", "calm-crane-0001", 1, 1.0, mark), a_row("local", "local", 1, 1.0, mark)};
}

TEST(Verification, IsOfTheRowsOfItsType) {
  const auto rows = a_ledger();
  const auto verification = verification_of(rows[0], rows);
  ASSERT_TRUE(verification);
  EXPECT_EQ(verification->runs, 2u);
  EXPECT_EQ(verification->failed(), 0u);
  EXPECT_EQ(verification->val_loss->mean, 2.5);
  EXPECT_EQ(short_text(verification), "2.5000 ±0.3536 (2)");
  EXPECT_FALSE(verification_of(rows[4], rows));
  EXPECT_TRUE(to_json(verification_of(rows[4], rows)).is_null());
}

TEST(Verification, CountsFailuresButNotThoseOfTheMachine) {
  auto rows = a_ledger();
  rows.push_back(a_row("verify", "verify", 4, {}, verification_mark("brave-otter-1f3a", 2)));
  rows.push_back(rows.back());
  rows.back().status = "infrastructure";
  const auto verification = verification_of(rows[0], rows);
  EXPECT_EQ(verification->runs, 3u);
  EXPECT_EQ(verification->failed(), 1u);
  EXPECT_EQ(short_text(verification), "2.5000 ±0.3536 (2), 1 failed");
  EXPECT_EQ(judge(*verification, 2.5, PooledSpread{1, 10}).standing, Standing::kFailed);
}

TEST(Verification, TheScoreWasLuckBeyondTheNoise) {
  const auto rows = a_ledger();
  const Verification verification = *verification_of(rows[0], rows);
  const PooledSpread floor{0.1, 20};
  const Judgement lucky = judge(verification, 2.0, floor);
  EXPECT_EQ(lucky.standing, Standing::kLucky);
  EXPECT_DOUBLE_EQ(*lucky.difference, 0.5);
  EXPECT_DOUBLE_EQ(*lucky.noise, noise_of_one_run(floor, 2));
  EXPECT_EQ(judge(verification, 2.4, floor).standing, Standing::kHolds);
  // Better than the score says is no reproach, however much.
  EXPECT_EQ(judge(verification, 9.0, floor).standing, Standing::kHolds);
  EXPECT_EQ(judge(verification, std::nullopt, floor).standing, Standing::kUndecided);
}

TEST(Verification, WithoutAFloorTheHiddenSeedsSayTheNoise) {
  const auto rows = a_ledger();
  const Verification two = *verification_of(rows[0], rows);
  EXPECT_DOUBLE_EQ(*judge(two, 2.0, {}).noise, noise_of_one_run({*two.val_loss->sd, 1}, 2));
  Verification one;
  one.runs = 1;
  one.val_loss = spread_of(std::vector<double>{2.5});
  EXPECT_EQ(judge(one, 2.0, {}).standing, Standing::kUndecided);
}

}  // namespace
}  // namespace bitloop::baselines
