#include "harness/baselines/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "harness/sessions/job.h"
#include "tests/harness/baselines/fixture.h"

namespace bitloop::baselines {
namespace {

TEST(Plan, GoesSeedBySeed) {
  const Plan plan = a_plan({"a", "b"}, 2);
  EXPECT_EQ(plan.seeds, (std::vector<int64_t>{42, 43}));
  ASSERT_EQ(plan.runs.size(), 4u);
  EXPECT_EQ(plan.runs[1].candidate, 1u);
  EXPECT_EQ(plan.runs[1].seed, 42);
  EXPECT_EQ(plan.runs[2].candidate, 0u);
  EXPECT_EQ(plan.runs[2].seed, 43);
  EXPECT_EQ(plan.left(), 4u);
}

TEST(Plan, AFingerprintIsWhatIsTrained) {
  const tasks::Task task = a_task();
  const nlohmann::json preset = a_preset();
  const std::string base = sessions::fingerprint("text", task, preset, 42);
  EXPECT_EQ(base.size(), 40u);
  std::set<std::string> all = {base, sessions::fingerprint("text ", task, preset, 42),
                               sessions::fingerprint("text", task, preset, 43)};
  nlohmann::json longer = preset;
  longer["train"]["steps"] = 401;
  all.insert(sessions::fingerprint("text", task, longer, 42));
  tasks::Task head = task;
  head.rules.quantize_head = true;
  all.insert(sessions::fingerprint("text", head, preset, 42));
  EXPECT_EQ(all.size(), 5u);
  nlohmann::json reworded = preset;
  reworded["description"] = "other words";
  EXPECT_EQ(sessions::fingerprint("text", task, reworded, 42), base);
}

TEST(Plan, OnlyWhatWouldBeRepeatedIsFinal) {
  const Plan plan = a_plan({"a"}, 1);
  const auto is = [&](const char* status, const char* version) {
    return is_final(a_record(plan.runs[0], 1, status), version);
  };
  EXPECT_TRUE(is("ok", "another"));
  for (const char* own : {"script_error", "rejected", "diverged"}) {
    EXPECT_TRUE(is(own, "1.0+abc")) << own;
    EXPECT_FALSE(is(own, "1.0+def")) << own;
  }
  for (const char* again : {"infrastructure", "cancelled", "timeout", "out_of_memory", "violation"})
    EXPECT_FALSE(is(again, "1.0+abc")) << again;
}

TEST(Plan, TakesUpWhatWasDoneAndWhatRuns) {
  Plan plan = a_plan({"a", "b", "c", "d"}, 1);
  const std::vector<sessions::TestRecord> records = {
      a_record(plan.runs[0], 1, "infrastructure"), a_record(plan.runs[0], 2, "ok"),
      a_record(plan.runs[0], 3, "ok"), a_record(plan.runs[1], 4, "running"),
      a_record(plan.runs[2], 5, "cancelled")};
  take_records(plan, "baseline", records, "1.0+abc");
  ASSERT_TRUE(plan.runs[0].done);
  EXPECT_EQ(plan.runs[0].test, 2);  // the first score
  EXPECT_EQ(plan.runs[0].session, "baseline");
  EXPECT_FALSE(plan.runs[1].done);
  EXPECT_EQ(plan.runs[1].test, 4);
  EXPECT_EQ(plan.runs[2].test, 0);
  EXPECT_EQ(plan.runs[3].test, 0);
  EXPECT_EQ(plan.left(), 3u);
}

TEST(Plan, AnotherSessionsRunDoesNotReplaceAScore) {
  Plan plan = a_plan({"a", "b"}, 1);
  take_records(plan, "local", std::vector{a_record(plan.runs[0], 1, "ok")}, "1.0+abc");
  take_records(plan, "baseline",
               std::vector{a_record(plan.runs[0], 7, "running"), a_record(plan.runs[1], 8, "ok")},
               "1.0+abc");
  EXPECT_EQ(plan.runs[0].session, "local");
  EXPECT_EQ(plan.runs[1].session, "baseline");
  EXPECT_EQ(plan.left(), 0u);
}

// A record of before fingerprints has none, and fits nothing.
TEST(Plan, OldRecordsAreNotTakenForOurs) {
  Plan plan = a_plan({"a"}, 1);
  sessions::TestRecord record = a_record(plan.runs[0], 1, "ok");
  record.fingerprint.clear();
  take_records(plan, "local", std::vector{record}, "1.0+abc");
  EXPECT_EQ(plan.left(), 1u);
}

}  // namespace
}  // namespace bitloop::baselines
