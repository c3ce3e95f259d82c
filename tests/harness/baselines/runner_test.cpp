#include "harness/baselines/runner.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>

#include "harness/base/fd.h"
#include "harness/sessions/records.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::baselines {
namespace {

using testing::HasSubstr;

// On a workspace of its own; runs are performed by the fake supervisor of tests/e2e.
class RunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path source = BITLOOP_SOURCE_DIR;
    share_ = folder_ / "share";
    std::filesystem::create_directories(share_ / "quantizers");
    std::filesystem::create_directories(share_ / "tasks");
    std::filesystem::copy(source / "trainer/presets", share_ / "presets");
    std::filesystem::copy(source / "harness/tasks/quick.json", share_ / "tasks/quick.json");
    for (const char* name : {"program.md", "lua.md", "model.md"})
      ASSERT_TRUE(write_file_atomic(share_ / name, "words\n"));
    ::setenv("BITLOOP_SUPERVISOR", (source / "tests/e2e/fake_supervisor.py").c_str(), 1);
    open();
  }
  void TearDown() override { ::unsetenv("BITLOOP_SUPERVISOR"); }
  void open() {
    service_.reset();
    auto opened = sessions::Service::open({workspace_, share_, 2, true});
    ASSERT_TRUE(opened) << opened.error().message;
    service_ = std::move(*opened);
  }
  Plan plan(std::vector<Candidate> candidates, int seeds) {
    const tasks::Task task = *service_->task("quick");
    const auto preset = nlohmann::json::parse(read_file(share_ / "presets/quick.json").value());
    Plan made = make_plan(task, preset, std::move(candidates), 42, seeds);
    take_records(made, "baseline", *sessions::read_records(workspace_, "baseline"), "");
    return made;
  }
  Status run(Plan& plan, size_t jobs = 1, const std::atomic<bool>* interrupted = nullptr) {
    return perform(plan, *service_, workspace_, {"baseline", jobs, interrupted},
                   {{}, [&](const PlannedRun&) { ++ended_; }});
  }

  test_support::ScratchFolder folder_;
  std::filesystem::path share_;
  std::filesystem::path workspace_ = folder_ / "workspace";
  std::unique_ptr<sessions::Service> service_;
  int ended_ = 0;
};

TEST_F(RunnerTest, RunsAllAndNothingTwice) {
  const std::vector<Candidate> candidates = {{"a", "-- FAKE_LOSS=1.5 FAKE_BITS=2\n"},
                                             {"bad", "-- FAKE_STATUS=diverged\n"}};
  Plan first = plan(candidates, 2);
  ASSERT_TRUE(run(first, 2));
  EXPECT_EQ(ended_, 4);
  EXPECT_EQ(first.left(), 0u);
  EXPECT_EQ(first.runs[0].done->row.quantizer, "a");
  EXPECT_EQ(first.runs[0].done->row.type, "baseline");
  EXPECT_EQ(first.runs[0].done->row.session, "baseline");
  EXPECT_EQ(first.runs[1].done->row.quantizer, "bad");
  EXPECT_EQ(first.runs[1].done->status, "diverged");
  EXPECT_DOUBLE_EQ(*first.runs[2].done->row.val_loss, 1.501);
  open();
  Plan again = plan(candidates, 3);
  EXPECT_EQ(again.left(), 4u);  // the new seeds, and, under another version, the failures
}

// Each run's row has its own name and task although two run at a time.
TEST_F(RunnerTest, RowsOfRunsSideBySideAreNotMixedUp) {
  Plan made = plan({{"slow", "-- FAKE_SLEEP=0.6 FAKE_LOSS=1\n"}, {"fast", "-- FAKE_LOSS=2\n"}}, 1);
  ASSERT_TRUE(run(made, 2));
  EXPECT_EQ(made.runs[0].done->row.quantizer, "slow");
  EXPECT_EQ(*made.runs[0].done->row.val_loss, 1.0);
  EXPECT_EQ(made.runs[1].done->row.quantizer, "fast");
  EXPECT_EQ(*made.runs[1].done->row.val_loss, 2.0);
}

TEST_F(RunnerTest, AMachineThatFailsTwiceEndsIt) {
  Plan made = plan({{"dies", "-- FAKE_DIE\n"}}, 1);
  const auto ended = run(made);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, "infrastructure");
  EXPECT_THAT(ended.error().message, HasSubstr("dies with seed 42 failed 2 times"));
  EXPECT_EQ(service_->results().size(), 2u);
}

TEST_F(RunnerTest, InterruptedItCancelsWhatRuns) {
  const std::atomic<bool> interrupted = true;
  Plan made = plan({{"a", "-- FAKE_LOSS=1\n"}}, 1);
  EXPECT_EQ(run(made, 1, &interrupted).error().code, "interrupted");
  EXPECT_EQ(service_->results().size(), 0u);
}

// A host that died: its run lives on, and is waited for instead of started again.
TEST_F(RunnerTest, AdoptsWhatStillRuns) {
  const std::vector<Candidate> candidates = {{"slow", "-- FAKE_SLEEP=1 FAKE_LOSS=1.5\n"}};
  Plan first = plan(candidates, 1);
  ASSERT_TRUE(service_->start_local(
      {candidates[0].text, "slow", "", first.task, first.preset, 42, "baseline"}));
  while (!std::filesystem::exists(workspace_ / "runs/baseline-1/events.jsonl")) ::usleep(10'000);
  open();
  Plan again = plan(candidates, 1);
  EXPECT_EQ(again.runs[0].test, 1);
  ASSERT_TRUE(run(again));
  EXPECT_EQ(again.runs[0].test, 1);
  EXPECT_EQ(again.runs[0].done->status, "ok");
  EXPECT_EQ(service_->results().size(), 1u);
}

}  // namespace
}  // namespace bitloop::baselines
