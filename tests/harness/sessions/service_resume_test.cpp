// Runs of the command line that a fault ended go on: what the journal, the ledger and the folder
// say then, and after a crash at each point in between.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>

#include "harness/base/text.h"
#include "harness/jobs/run_folder.h"
#include "tests/harness/sessions/service_fixture.h"

namespace bitloop::sessions {
namespace {

using ::testing::HasSubstr;

class ServiceResumeTest : public ServiceTest {
 protected:
  // Run 1 of session local, which ends as `status`; with a checkpoint, as far as the host sees.
  void run_that_ends_as(const std::string& status, bool checkpoint = true) {
    LocalRun run;
    run.candidate = "-- FAKE_STATUS=" + status + "\nreturn Q\n";
    run.quantizer = "mine";
    run.task = *service_->task("quick");
    run.preset = nlohmann::json::parse(*read_file(folder_ / "share/presets/quick.json"));
    run.preset["checkpoint"] = {{"every", 10}, {"keep", 2}};
    ASSERT_TRUE(service_->start_local(run));
    ASSERT_EQ(service_->test("local", 1, 60'000)->status, status);
    if (!checkpoint) return;
    std::filesystem::create_directories(run_folder() / "output");
    std::ofstream(run_folder() / "output/checkpoint-0.safetensors") << "whole";
    std::ofstream(run_folder() / "events.jsonl", std::ios::app)
        << R"({"type":"checkpoint","step":10,"ok":true})"
        << "\n";
  }
  std::filesystem::path run_folder() const { return folder_ / "workspace/runs/local-1"; }
  // What the next supervisor of the run does.
  void from_now_on(const std::string& words) {
    std::string job = *read_file(run_folder() / "job.json");
    const std::string before = "FAKE_STATUS=infrastructure";
    job.replace(job.find(before), before.size(), words);
    ASSERT_TRUE(write_file_atomic(run_folder() / "job.json", job));
  }
  // Resumes run 1 and kills host and supervisor while it is under way.
  void resume_and_kill() {
    from_now_on("FAKE_HOLD=go");
    const auto resumed = service_->resume_local("local", 1);
    ASSERT_TRUE(resumed) << resumed.error().message;
    const auto pid = [&] {
      return std::atoi(read_file(run_folder() / "supervisor.lock").value_or("0").c_str());
    };
    while (pid() == 0 || *read_file(run_folder() / "events.jsonl") == events_)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const pid_t supervisor = pid();
    service_.reset();
    ASSERT_EQ(::kill(supervisor, SIGKILL), 0);
    ::waitpid(supervisor, nullptr, 0);
  }
  bool is_there(const char* name) const { return std::filesystem::exists(run_folder() / name); }
  std::string kinds() {
    std::string words;
    for (const HistoryItem& item : *service_->history("local")) words += item.event + " ";
    return words;
  }
  // "infrastructure" for each row of the ledger, as memory and file have it.
  std::string rows() {
    const std::string text = *read_file(folder_ / "workspace/results.tsv");
    EXPECT_EQ(text, service_->results_tsv());
    std::string statuses;
    for (const auto& row : service_->results()) statuses += std::string(row.field("status")) + " ";
    return statuses;
  }

  std::string events_;
};

TEST_F(ServiceResumeTest, ARunThatAFaultEndedGoesOn) {
  run_that_ends_as("infrastructure");
  std::ofstream(run_folder() / "attempts") << "3 10\n";
  std::ofstream(run_folder() / "output.txt") << "last words";
  EXPECT_EQ(rows(), "infrastructure ");
  const std::string verdict = *read_file(run_folder() / "verdict.json");
  from_now_on("FAKE_LOSS=1.5");
  const auto resumed = service_->resume_local("local", 1);
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(resumed->status, "running");
  EXPECT_EQ(service_->test("local", 1, 60'000)->status, "ok");
  EXPECT_EQ(rows(), "ok ");
  EXPECT_EQ(kinds(), "session test-started test-finished test-resumed test-finished ");
  EXPECT_EQ(*read_file(run_folder() / "verdict-1.json"), verdict);
  EXPECT_EQ(*read_file(run_folder() / "output-1.txt"), "last words");
  EXPECT_FALSE(is_there("attempts"));  // of the fake, which keeps none: they were forgotten
  open();
  EXPECT_EQ(rows(), "ok ");
  EXPECT_THAT(service_->resume_local("local", 1).error().message, HasSubstr("has ended as ok"));
}

TEST_F(ServiceResumeTest, ItMayFailAndGoOnAgain) {
  run_that_ends_as("infrastructure");
  for (int i = 1; i <= 2; ++i) {
    ASSERT_TRUE(service_->resume_local("local", 1));
    EXPECT_EQ(service_->test("local", 1, 60'000)->status, "infrastructure");
    EXPECT_EQ(rows(), "infrastructure ");
    EXPECT_TRUE(is_there(i == 1 ? "verdict-1.json" : "verdict-2.json"));
  }
}

TEST_F(ServiceResumeTest, OutOfMemoryGoesOnToo) {
  run_that_ends_as("out_of_memory");
  EXPECT_TRUE(service_->resume_local("local", 1));
  EXPECT_EQ(service_->test("local", 1, 60'000)->status, "out_of_memory");
}

TEST_F(ServiceResumeTest, WhatItsCandidateOrItsOwnerEndedStaysEnded) {
  int64_t number = 0;
  for (const char* status : {"ok", "diverged", "rejected", "timeout", "cancelled"}) {
    LocalRun run;
    run.candidate = std::string("-- FAKE_STATUS=") + status + "\nreturn Q\n";
    run.task = *service_->task("quick");
    run.preset = nlohmann::json::parse(*read_file(folder_ / "share/presets/quick.json"));
    ASSERT_TRUE(service_->start_local(run));
    ASSERT_EQ(service_->test("local", ++number, 60'000)->status, status);
    const auto refused = service_->resume_local("local", number).error();
    EXPECT_EQ(refused.code, "not_resumable");
    EXPECT_THAT(refused.message, HasSubstr(std::string("has ended as ") + status + "; only a run"));
  }
}

TEST_F(ServiceResumeTest, WithoutACheckpointItStaysEnded) {
  run_that_ends_as("infrastructure", /*checkpoint=*/false);
  const std::string before = head("local");
  const auto refuse = [&] {
    const auto refused = service_->resume_local("local", 1).error();
    EXPECT_EQ(refused.code, "not_resumable");
    EXPECT_THAT(refused.message, HasSubstr("has ended as infrastructure and left no checkpoint"));
  };
  refuse();
  std::filesystem::create_directories(run_folder() / "output");
  std::ofstream(run_folder() / "output/checkpoint-0.safetensors") << "torn?";
  std::ofstream(run_folder() / "events.jsonl", std::ios::app)
      << R"({"type":"checkpoint","step":10,"ok":false})"
      << "\n";
  refuse();
  EXPECT_EQ(head("local"), before);
  EXPECT_TRUE(is_there("verdict.json"));
}

TEST_F(ServiceResumeTest, AnotherNumberOfRanksIsLookedAtFirst) {
  run_that_ends_as("infrastructure");
  EXPECT_EQ(service_->resume_local("local", 1, 7).error().code, "bad_preset");
  EXPECT_EQ(rows(), "infrastructure ");
  ASSERT_TRUE(service_->resume_local("local", 1, 2));
  service_->test("local", 1, 60'000);
  const auto job = nlohmann::json::parse(*read_file(run_folder() / "job.json"));
  EXPECT_EQ(job["preset"]["train"]["ranks"], 2);
  EXPECT_EQ(job["first_ranks"], 1);
}

TEST_F(ServiceResumeTest, AnAgentsTestIsNotResumedFromHere) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "FAKE_STATUS=infrastructure"));
  EXPECT_EQ(test(id).status, "infrastructure");
  EXPECT_THAT(service_->resume_local(id, 1).error().message, HasSubstr("an agent's"));
}

TEST_F(ServiceResumeTest, ARunOfSeveralMachinesStaysEnded) {
  run_that_ends_as("infrastructure");
  auto job = nlohmann::json::parse(*read_file(run_folder() / "job.json"));
  job["ranks"] = {{"rank", 0}, {"count", 2}};
  ASSERT_TRUE(write_file_atomic(run_folder() / "job.json", job.dump()));
  const auto refused = service_->resume_local("local", 1).error();
  EXPECT_EQ(refused.code, "not_resumable");
  EXPECT_THAT(refused.message, HasSubstr("torchrun or srun began it"));
  EXPECT_EQ(rows(), "infrastructure ");
}

// The crash points, in their order.
TEST_F(ServiceResumeTest, KilledBeforeItsVerdictIsAsideItHasEndedAsBefore) {
  run_that_ends_as("infrastructure");
  events_ = *read_file(run_folder() / "events.jsonl");
  resume_and_kill();
  std::filesystem::rename(run_folder() / "verdict-1.json", run_folder() / "verdict.json");
  open();
  EXPECT_EQ(service_->test("local", 1, 60'000)->status, "infrastructure");
  EXPECT_EQ(rows(), "infrastructure ");
  EXPECT_EQ(kinds(), "session test-started test-finished test-resumed test-finished ");
}

TEST_F(ServiceResumeTest, KilledAfterwardsItIsARunThatWasKilled) {
  run_that_ends_as("infrastructure");
  events_ = *read_file(run_folder() / "events.jsonl");
  resume_and_kill();
  open();
  EXPECT_EQ(service_->test("local", 1)->status, "running");
  EXPECT_EQ(rows(), "");
  ASSERT_TRUE(write_file_atomic(folder_ / "workspace/go", ""));
  ASSERT_TRUE(service_->resume_local("local", 1));
  EXPECT_EQ(service_->test("local", 1, 60'000)->status, "ok");
  EXPECT_EQ(rows(), "ok ");
  EXPECT_EQ(kinds(), "session test-started test-finished test-resumed test-finished ");
}

TEST_F(ServiceResumeTest, WhereTheVerdictCantBeSetAsideItStays) {
  run_that_ends_as("infrastructure");
  std::filesystem::create_directories(run_folder() / "cancelled/not a mark");
  EXPECT_EQ(service_->resume_local("local", 1).error().code, "io_error");
  EXPECT_EQ(service_->test("local", 1)->status, "infrastructure");
  EXPECT_EQ(rows(), "infrastructure ");
  EXPECT_TRUE(is_there("verdict.json"));
}

}  // namespace
}  // namespace bitloop::sessions
