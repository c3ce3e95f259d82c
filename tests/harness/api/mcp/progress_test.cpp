#include "harness/api/mcp/progress.h"

#include <fstream>
#include <thread>

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

const std::string kHeader = R"({"type":"header","config":{"train":{"steps":400}}})"
                            "\n";

RunProgress run_progress(const std::string& events) {
  const test_support::ScratchFolder folder;
  std::ofstream(folder / "events.jsonl") << events;
  return RunFollower(folder / "events.jsonl").look();
}

TEST(RunProgress, IsFollowedAsTheFileGrows) {
  const test_support::ScratchFolder folder;
  RunFollower run(folder / "events.jsonl");
  EXPECT_EQ(run.look().message, "queued");
  std::ofstream file(folder / "events.jsonl");
  file << kHeader << R"({"type":"step","step":40})"
       << "\n{\"type\":\"st" << std::flush;
  EXPECT_EQ(run.look().done, 40);
  file << "ep\",\"step\":80}\n" << std::flush;
  EXPECT_EQ(run.look().done, 80);
  file << R"({"type":"stage","name":"eval"})" << std::endl;
  EXPECT_EQ(run.look().message, "evaluating");
  EXPECT_EQ(run.look().total, 401);
}

TEST(RunProgress, TheNewestStepTells) {
  EXPECT_EQ(run_progress("").message, "queued");
  EXPECT_EQ(run_progress(kHeader).message, "starting");
  EXPECT_EQ(run_progress(kHeader).total, 401);
  const RunProgress progress =
      run_progress(kHeader + R"({"type":"step","step":40,"train_loss":5})"
                             "\n"
                             R"({"type":"step","step":80,"train_loss":4.5})"
                             "\n"
                             R"({"type":"val","step":80})"
                             "\n");
  EXPECT_EQ(progress.done, 80);
  EXPECT_EQ(progress.message, "step 80 of 400, train_loss=4.5000");
}

TEST(RunProgress, TheEvaluationComesAfterTheSteps) {
  const RunProgress progress = run_progress(kHeader + R"({"type":"step","step":400})"
                                                      "\n"
                                                      R"({"type":"stage","name":"eval"})"
                                                      "\n");
  EXPECT_GT(progress.done, 400);
  EXPECT_LT(progress.done, progress.total);
  EXPECT_EQ(progress.message, "evaluating");
}

TEST(RunProgress, WhatIsNoRecordIsPassedOver) {
  EXPECT_EQ(run_progress("\n\n[1]\nnot json\n{\"type\":3}\n{\"type\":\"step\"}\n").done, 0);
  for (const char* config : {"7", "[1]", "null", "{\"train\":[]}", "{\"train\":{\"steps\":\"x\"}}"})
    EXPECT_EQ(run_progress(std::string("{\"config\":").append(config).append("}\n")).total, 0);
  EXPECT_EQ(run_progress(kHeader + R"({"type":"step","step":40})"
                                   "\n{\"type\":\"step\",\"st")
                .done,
            40);
}

class WaitForTest : public McpFixture {
 protected:
  std::string start(const std::string& words) {
    const std::string session = create();
    EXPECT_TRUE(service_->edit(
        session, {.path = "candidate.lua", .op = "insert", .after_line = 1, .content = words}));
    EXPECT_TRUE(service_->start_test(session, ""));
    return session;
  }
};

TEST_F(WaitForTest, ProgressGrowsUntilTheEnd) {
  const std::string session = start("FAKE_SLEEP=3");
  std::vector<ordered_json> notes;
  Exchange exchange;
  exchange.notify = [&](const ordered_json& note) { notes.push_back(note); };
  const auto ended = wait_for_test(*service_, session, 1, 60'000, exchange, "token");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->status, "ok");
  ASSERT_FALSE(notes.empty());
  double last = -1;
  for (const ordered_json& note : notes) {
    EXPECT_EQ(note["method"], "notifications/progress");
    EXPECT_EQ(note["params"]["progressToken"], "token");
    EXPECT_GT(note["params"]["progress"].get<double>(), last);
    last = note["params"]["progress"];
  }
}

TEST_F(WaitForTest, WithoutATokenNothingIsSent) {
  const std::string session = start("FAKE_SLEEP=2");
  Exchange exchange;
  exchange.notify = [](const ordered_json&) { ADD_FAILURE(); };
  EXPECT_EQ(wait_for_test(*service_, session, 1, 60'000, exchange, nullptr)->status, "ok");
  EXPECT_EQ(wait_for_test(*service_, session, 2, 0, {}, nullptr).error().code, "test_not_found");
}

TEST_F(WaitForTest, WhoIsGoneIsNotWaitedFor) {
  const std::string session = start("FAKE_SLEEP=9");
  Exchange exchange;
  exchange.abandoned = [] { return true; };
  EXPECT_EQ(wait_for_test(*service_, session, 1, 3'600'000, exchange, nullptr)->status, "running");
}

TEST_F(WaitForTest, TheExchangeMayHaveLessTime) {
  const std::string session = start("FAKE_SLEEP=9");
  Exchange exchange;
  exchange.deadline = std::chrono::steady_clock::now();
  EXPECT_EQ(wait_for_test(*service_, session, 1, 3'600'000, exchange, nullptr)->status, "running");
}

TEST_F(WaitForTest, AServiceThatEndsEndsTheWait) {
  const std::string session = start("FAKE_SLEEP=9");
  service_->stop();
  EXPECT_EQ(wait_for_test(*service_, session, 1, 3'600'000, {}, nullptr)->status, "running");
}

}  // namespace
}  // namespace bitloop::api::mcp
