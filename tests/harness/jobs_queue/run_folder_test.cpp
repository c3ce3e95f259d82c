#include "harness/jobs/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <chrono>
#include <thread>

#include "tests/harness/jobs_queue/fake_run.h"

namespace bitloop::jobs {
namespace {

using RunFolder = FakeRun;

void wait_until_reaped(pid_t pid) {
  while (!reap_supervisor(pid)) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

TEST_F(RunFolder, AJobIsWrittenWhole) {
  ASSERT_TRUE(write_job(run_dir("a"), {{"kind", "train"}}));
  EXPECT_EQ(nlohmann::json::parse(*read_file(run_dir("a") / "job.json")),
            nlohmann::json({{"kind", "train"}}));
}

TEST_F(RunFolder, ARunLivesAsLongAsItsSupervisor) {
  supervisor_is("while [ ! -e \"$1/go\" ]; do sleep 0.01; done; " + std::string(kWriteOk));
  ASSERT_TRUE(write_job(run_dir("a"), {}));
  EXPECT_FALSE(run_is_alive(run_dir("a")));
  const auto pid = launch_supervisor(run_dir("a"));
  ASSERT_TRUE(pid) << pid.error().message;
  EXPECT_TRUE(
      run_is_alive(run_dir("a")));  // from the first moment: the lock is taken before the start
  EXPECT_FALSE(run_has_verdict(run_dir("a")));
  EXPECT_FALSE(reap_supervisor(*pid));
  const auto second = launch_supervisor(run_dir("a"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "already_running");
  ASSERT_TRUE(write_file_atomic(run_dir("a") / "go", ""));
  wait_until_reaped(*pid);
  EXPECT_FALSE(run_is_alive(run_dir("a")));
  EXPECT_EQ(read_verdict(run_dir("a")).status, "ok");
}

TEST_F(RunFolder, TheSupervisorIsDetached) {
  supervisor_is("ps -o sid= -p $$ | tr -d ' ' >\"$1/sid\"; cat >\"$1/stdin\"; echo words; exit 3");
  ASSERT_TRUE(write_job(run_dir("a"), {}));
  const auto pid = launch_supervisor(run_dir("a"));
  ASSERT_TRUE(pid);
  wait_until_reaped(*pid);
  EXPECT_EQ(*read_file(run_dir("a") / "sid"), std::to_string(*pid) + "\n");
  EXPECT_EQ(*read_file(run_dir("a") / "stdin"), "");
  EXPECT_EQ(*read_file(run_dir("a") / "supervisor.log"), "words\n");
}

TEST_F(RunFolder, ALockOfTheSupervisorsOwnCountsToo) {
  std::filesystem::create_directories(run_dir("a"));
  const auto lock = open_file(run_dir("a") / "supervisor.lock", O_RDWR | O_CREAT);
  ASSERT_EQ(::flock(lock->get(), LOCK_EX), 0);
  EXPECT_TRUE(run_is_alive(run_dir("a")));
}

TEST_F(RunFolder, AProgramThatIsNotThereIsAnError) {
  ::setenv("BITLOOP_SUPERVISOR", "/nowhere/supervisor", 1);
  ASSERT_TRUE(write_job(run_dir("a"), {}));
  const auto pid = launch_supervisor(run_dir("a"));
  ASSERT_FALSE(pid);
  EXPECT_NE(pid.error().message.find("/nowhere/supervisor"), std::string::npos);
  EXPECT_FALSE(run_is_alive(run_dir("a")));
}

TEST_F(RunFolder, AMissingOrDamagedVerdictIsInfrastructure) {
  std::filesystem::create_directories(run_dir("a"));
  EXPECT_EQ(read_verdict(run_dir("a")).status, "infrastructure");
  for (const char* text :
       {"", "{", "[]", "{\"status\": 3}", "null", "{\"message\": \"no status\"}"}) {
    ASSERT_TRUE(write_file_atomic(run_dir("a") / "verdict.json", text));
    EXPECT_EQ(read_verdict(run_dir("a")).status, "infrastructure") << text;
  }
}

TEST_F(RunFolder, AVerdictIsReadInFull) {
  std::filesystem::create_directories(run_dir("a"));
  ASSERT_TRUE(write_file_atomic(
      run_dir("a") / "verdict.json",
      R"({"status":"rejected","message":"m","flags":["leaks",7],"result":{"type":"result"},"jail":{"wall_ms":5}})"));
  const Verdict verdict = read_verdict(run_dir("a"));
  EXPECT_EQ(verdict.status, "rejected");
  EXPECT_EQ(verdict.message, "m");
  EXPECT_EQ(verdict.flags, std::vector<std::string>{"leaks"});
  EXPECT_EQ(verdict.result["type"], "result");
  EXPECT_EQ(verdict.jail["wall_ms"], 5);
}

}  // namespace
}  // namespace bitloop::jobs
