#include "harness/jobs/queue.h"

#include <future>
#include <mutex>

#include "tests/harness/jobs_queue/fake_run.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;

class QueueTest : public FakeRun {
 protected:
  // Submits a run; the future becomes ready with its status.
  std::future<std::string> submit(Queue& queue, const std::string& name,
                                  const std::string& owner = "") {
    auto promise =
        std::make_shared<std::promise<std::string>>();  // the callback outlives this function
    queue.submit({run_dir(name),
                  {{"name", name}},
                  [promise](const Verdict& verdict) { promise->set_value(verdict.status); },
                  owner});
    return promise->get_future();
  }
  std::future<std::string> submit_with_checkpoints(Queue& queue, const std::string& name) {
    auto promise = std::make_shared<std::promise<std::string>>();  // outlives this function
    const nlohmann::json limits = {
        {"deadline_s", 60}, {"memory_mb", 128}, {"threads", 2}, {"output_mb", 4}};
    queue.submit({run_dir(name),
                  {{"schema_version", 1},
                   {"kind", "train"},
                   {"data_dir", "/nowhere"},
                   {"preset", {{"checkpoint", {{"every", 10}}}, {"limits", limits}}}},
                  [promise](const Verdict& verdict) { promise->set_value(verdict.status); }});
    return promise->get_future();
  }
  void let_go(const std::string& name) {
    std::filesystem::create_directories(run_dir(name));
    ASSERT_TRUE(write_file_atomic(run_dir(name) / "go", ""));
  }
  void wait_alive(const std::string& name) {
    while (!run_is_alive(run_dir(name))) std::this_thread::sleep_for(2ms);
  }
};

const std::string kWaitForGo = "while [ ! -e \"$1/go\" ]; do sleep 0.01; done; ";

TEST_F(QueueTest, RunsInOrderOneAtATime) {
  supervisor_is(
      "echo $1 >>\"$1/../../order\"; [ -e \"$1/../../busy\" ] && touch \"$1/../../overlap\"; touch "
      "\"$1/../../busy\"; sleep 0.02; rm \"$1/../../busy\"; " +
      std::string(kWriteOk));
  Queue queue(1);
  std::vector<std::future<std::string>> ends;
  for (const char* name : {"c", "a", "b"}) ends.push_back(submit(queue, name));
  for (auto& end : ends) EXPECT_EQ(end.get(), "ok");
  EXPECT_EQ(*read_file(folder_ / "order"), run_dir("c").string() + "\n" + run_dir("a").string() +
                                               "\n" + run_dir("b").string() + "\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "overlap"));
}

TEST_F(QueueTest, TwoSlotsRunTwoAtATime) {
  supervisor_is(kWaitForGo + kWriteOk);
  Queue queue(2);
  auto first = submit(queue, "a");
  auto second = submit(queue, "b");
  wait_alive("a");
  wait_alive("b");
  let_go("b");
  EXPECT_EQ(second.get(), "ok");
  let_go("a");
  EXPECT_EQ(first.get(), "ok");
}

TEST_F(QueueTest, ASupervisorThatDiesIsInfrastructure) {
  supervisor_is("kill -9 $$");
  Queue queue(1);
  EXPECT_EQ(submit(queue, "a").get(), "infrastructure");
}

TEST_F(QueueTest, ARunWithCheckpointsIsStartedAgain) {
  supervisor_is(
      "touch \"$1/events.jsonl\"; [ -e \"$1/once\" ] || { touch \"$1/once\"; kill -9 $$; }; " +
      std::string(kWriteOk));
  Queue queue(1);
  EXPECT_EQ(submit_with_checkpoints(queue, "a").get(), "ok");
  EXPECT_EQ(submit(queue, "b").get(), "infrastructure");  // this one has none
}

TEST_F(QueueTest, OneThatNeverGetsAnywhereIsNotStartedForEver) {
  supervisor_is("touch \"$1/events.jsonl\"; echo x >>\"$1/starts\"; exit 3");
  Queue queue(1);
  EXPECT_EQ(submit_with_checkpoints(queue, "a").get(), "infrastructure");
  EXPECT_EQ(*read_file(run_dir("a") / "starts"), "x\nx\nx\nx\nx\n");
}

TEST_F(QueueTest, OneThatIsCancelledIsNotStartedAgain) {
  supervisor_is("touch \"$1/events.jsonl\"; trap 'exit 3' TERM; while :; do sleep 0.01; done");
  Queue queue(1);
  auto end = submit_with_checkpoints(queue, "a");
  wait_alive("a");
  while (!std::filesystem::exists(run_dir("a") / "events.jsonl")) std::this_thread::sleep_for(2ms);
  EXPECT_TRUE(queue.cancel(run_dir("a")));
  EXPECT_EQ(end.get(), "cancelled");
  EXPECT_FALSE(run_can_resume(run_dir("a")));
}

TEST_F(QueueTest, ARunThatCannotStartIsInfrastructureAndTheNextGoesOn) {
  ASSERT_TRUE(write_file_atomic(folder_ / "runs", "a file where the folder should be"));
  supervisor_is(kWriteOk);
  Queue queue(1);
  EXPECT_EQ(submit(queue, "a").get(), "infrastructure");
  std::filesystem::remove(folder_ / "runs");
  EXPECT_EQ(submit(queue, "b").get(), "ok");
}

TEST_F(QueueTest, StopLeavesTheRunAliveAndTheNextQueueAdoptsIt) {
  supervisor_is(kWaitForGo + kWriteOk);
  bool called = false;
  {
    Queue queue(1);
    queue.submit({run_dir("a"), {{"name", "a"}}, [&called](const Verdict&) { called = true; }});
    submit(queue, "b");
    wait_alive("a");
  }
  EXPECT_FALSE(called);
  EXPECT_TRUE(run_is_alive(run_dir("a")));
  EXPECT_FALSE(std::filesystem::exists(run_dir("b") / "job.json"));  // it waited, and never started
  Queue queue(1);
  std::promise<std::string> end;
  queue.adopt(
      {run_dir("a"), nullptr, [&end](const Verdict& verdict) { end.set_value(verdict.status); }});
  let_go("a");
  EXPECT_EQ(end.get_future().get(), "ok");
}

TEST_F(QueueTest, AnAdoptedRunHoldsBackTheNext) {
  supervisor_is(kWaitForGo + kWriteOk);
  std::filesystem::create_directories(run_dir("a"));
  const auto pid = launch_supervisor(run_dir("a"));
  ASSERT_TRUE(pid);
  Queue queue(1);
  std::promise<void> end;
  queue.adopt({run_dir("a"), nullptr, [&end](const Verdict&) { end.set_value(); }});
  let_go("b");
  auto second = submit(queue, "b");
  EXPECT_EQ(second.wait_for(50ms), std::future_status::timeout);
  let_go("a");
  end.get_future().get();
  EXPECT_EQ(second.get(), "ok");
  while (!reap_supervisor(*pid)) std::this_thread::sleep_for(2ms);
}

TEST_F(QueueTest, OwnersTakeTurns) {
  supervisor_is(kWaitForGo + "echo ${1##*/} >>\"$1/../../order\"; " + kWriteOk);
  Queue queue(1);
  std::vector<std::future<std::string>> ends = {};
  ends.push_back(submit(queue, "x1", "x"));
  wait_alive("x1");
  for (const char* name : {"x2", "x3"}) ends.push_back(submit(queue, name, "x"));
  ends.push_back(submit(queue, "y1", "y"));
  EXPECT_EQ(queue.ahead_of(run_dir("x1")), std::nullopt);  // it runs
  EXPECT_EQ(queue.ahead_of(run_dir("x3")), 2u);
  for (const char* name : {"x1", "x2", "x3", "y1"}) let_go(name);
  for (auto& end : ends) EXPECT_EQ(end.get(), "ok");
  EXPECT_EQ(*read_file(folder_ / "order"), "x1\nx2\ny1\nx3\n");
}

TEST_F(QueueTest, AWaitingRunThatIsCancelledNeverStarts) {
  supervisor_is(kWaitForGo + kWriteOk);
  Queue queue(1);
  auto first = submit(queue, "a");
  wait_alive("a");
  auto second = submit(queue, "b");
  EXPECT_TRUE(queue.cancel(run_dir("b")));
  EXPECT_EQ(second.wait_for(0ms), std::future_status::ready);  // at once: the first still runs
  EXPECT_EQ(second.get(), "cancelled");
  EXPECT_FALSE(queue.cancel(run_dir("b")));
  let_go("a");
  EXPECT_EQ(first.get(), "ok");
  EXPECT_FALSE(std::filesystem::exists(run_dir("b") / "job.json"));
}

TEST_F(QueueTest, ASupervisorAskedBeforeItListensIsCancelledAllTheSame) {
  supervisor_is("touch \"$1/ready\"; while :; do sleep 0.01; done");  // SIGTERM ends it at once
  Queue queue(1);
  auto end = submit(queue, "a");
  while (!std::filesystem::exists(run_dir("a") / "ready")) std::this_thread::sleep_for(2ms);
  EXPECT_TRUE(queue.cancel(run_dir("a")));
  EXPECT_EQ(end.get(), "cancelled");
}

TEST_F(QueueTest, AnAdoptedRunIsCancelledByTheIdInItsLock) {
  supervisor_is(
      "trap 'printf \"{\\\"status\\\":\\\"cancelled\\\"}\" >\"$1/verdict.json\"; exit' TERM; "
      "exec 9>\"$1/supervisor.lock\"; flock 9; echo $$ >&9; touch \"$1/ready\"; "
      "while :; do sleep 0.01; done");
  std::filesystem::create_directories(run_dir("a"));
  const auto pid = launch_supervisor(run_dir("a"));
  ASSERT_TRUE(pid);
  while (!std::filesystem::exists(run_dir("a") / "ready")) std::this_thread::sleep_for(2ms);
  Queue queue(1);
  std::promise<std::string> end;
  queue.adopt(
      {run_dir("a"), nullptr, [&end](const Verdict& verdict) { end.set_value(verdict.status); }});
  while (!queue.cancel(run_dir("a"))) std::this_thread::sleep_for(2ms);
  EXPECT_EQ(end.get_future().get(), "cancelled");
  while (!reap_supervisor(*pid)) std::this_thread::sleep_for(2ms);
}

TEST_F(QueueTest, CancelAsksTheSupervisor) {
  supervisor_is(
      "trap 'printf \"{\\\"status\\\":\\\"cancelled\\\"}\" >\"$1/verdict.json\"; exit' TERM; touch "
      "\"$1/ready\"; "
      "while :; do sleep 0.01; done");
  Queue queue(1);
  auto end = submit(queue, "a");
  while (!std::filesystem::exists(run_dir("a") / "ready")) std::this_thread::sleep_for(2ms);
  EXPECT_FALSE(queue.cancel(run_dir("b")));
  EXPECT_TRUE(queue.cancel(run_dir("a")));
  EXPECT_EQ(end.get(), "cancelled");
  EXPECT_FALSE(queue.cancel(run_dir("a")));
}

}  // namespace
}  // namespace bitloop::jobs
