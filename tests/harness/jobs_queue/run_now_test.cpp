#include "harness/jobs/run_now.h"

#include <thread>

#include "tests/harness/jobs_queue/fake_run.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;

using RunNowTest = FakeRun;

TEST_F(RunNowTest, ReturnsTheVerdict) {
  supervisor_is(kWriteOk);
  EXPECT_EQ(run_now(run_dir("a"), {}, 60'000).status, "ok");
}

TEST_F(RunNowTest, EndsWhatTakesTooLong) {
  supervisor_is("trap '' TERM; while :; do sleep 0.01; done");
  EXPECT_EQ(run_now(run_dir("a"), {}, 10).status, "timeout");
  EXPECT_FALSE(run_is_alive(run_dir("a")));
}

TEST_F(RunNowTest, EndsWhenInterrupted) {
  supervisor_is("while :; do sleep 0.01; done");
  std::atomic<bool> interrupted{false};
  std::thread user([&] {
    while (!run_is_alive(run_dir("a"))) std::this_thread::sleep_for(2ms);
    interrupted = true;
  });
  EXPECT_EQ(run_now(run_dir("a"), {}, 60'000, &interrupted).status, "cancelled");
  user.join();
  EXPECT_FALSE(run_is_alive(run_dir("a")));
}

TEST_F(RunNowTest, ASupervisorThatDiesIsInfrastructure) {
  supervisor_is("kill -9 $$");
  EXPECT_EQ(run_now(run_dir("a"), {}, 60'000).status, "infrastructure");
}

TEST_F(RunNowTest, WhatCannotStartIsInfrastructure) {
  ASSERT_TRUE(write_file_atomic(folder_ / "runs", "a file where the folder should be"));
  supervisor_is(kWriteOk);
  EXPECT_EQ(run_now(run_dir("a"), {}, 60'000).status, "infrastructure");
}

}  // namespace
}  // namespace bitloop::jobs
