// One run from job.json to verdict.json, with a scripted trainer in a real jail.
#include "harness/jobs/supervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "sandbox/gpu.h"
#include "sandbox/jail.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::jobs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kResult =
    R"({"type":"result","status":"ok","message":"val_loss 2.5","stages":[{"name":"train","metrics":null,"failure":null}],)"
    R"("metrics":{"first_losses":[5.5,5.25],"val_loss":2.5},"flags":[],"findings":[]})";

std::string with_result(const std::string& before) {
  return before + "\nweights\nresult " + kResult + "\n";
}

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const sandbox::LayerState& layer : sandbox::probe())
      if (layer.state != "active" && layer.layer != "cgroup")
        GTEST_SKIP() << "this machine has no complete sandbox: " << layer.layer << " is "
                     << layer.state;
    fs::create_directory(root_ / "data");
    fs::permissions(root_ / "data", fs::perms(0755));
    job_ = {
        {"schema_version", 1},
        {"kind", "train"},
        {"session", "test"},
        {"test", 1},
        {"preset",
         {{"limits", {{"deadline_s", 60}, {"memory_mb", 128}, {"threads", 2}, {"output_mb", 4}}}}},
        {"data_dir", (root_ / "data").string()},
        {"allow_degraded", false}};
    ::setenv("BITLOOP_TRAINER", BITLOOP_FAKE_TRAINER, 1);
    ::unsetenv("BITLOOP_DISABLE_LAYERS");
  }
  // Starts the supervisor of a new run in a process of its own, as the host does.
  pid_t start(const std::string& script) {
    folder_ = root_ / ("run-" + std::to_string(++runs_));
    fs::create_directory(folder_);
    job_["candidate"] = {{"path", "candidate.lua"}, {"content", script}};
    std::ofstream(folder_ / "job.json") << job_.dump();
    return start_in(folder_);
  }
  static pid_t start_in(const fs::path& folder) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(supervise(folder));
    return child;
  }
  static int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // The whole run; its verdict.
  Json run(const std::string& script) {
    EXPECT_EQ(wait_for(start(script)), 0);
    return verdict();
  }
  Json verdict() const { return Json::parse(read("verdict.json"), nullptr, false); }
  std::string read(const char* name) const { return read_file(folder_ / name).value_or("(none)"); }

  test_support::ScratchFolder root_;
  fs::path folder_;
  Json job_;
  int runs_ = 0;
};

// Whichever descriptor is the first that is not to be had, the verdict says what the kernel said.
TEST_F(SupervisorTest, TooFewDescriptorsAreSaidInTheKernelsWords) {
  std::set<std::string> said;
  for (rlim_t most = 6; most < 16; ++most) {
    folder_ = root_ / ("few-" + std::to_string(most));
    fs::create_directory(folder_);
    job_["candidate"] = {{"path", "candidate.lua"}, {"content", ""}};
    std::ofstream(folder_ / "job.json") << job_.dump();
    const pid_t child = ::fork();
    if (child == 0) {
      for (int fd = 3; fd < 64; ++fd) ::close(fd);
      const rlimit few{most, most};
      ::setrlimit(RLIMIT_NOFILE, &few);
      ::_exit(supervise(folder_));
    }
    wait_for(child);
    if (const Json ended = verdict(); ended.is_object()) said.insert(ended["message"]);
  }
  EXPECT_THAT(said, ::testing::Contains(AllOf(HasSubstr("descriptors cannot be made"),
                                              HasSubstr("Too many open files"))));
}

TEST_F(SupervisorTest, AGoodRunLeavesEverything) {
  const Json verdict = run(
      std::string("step 1 5.5\nval 1 0\nweights\nlock\nloaded\nstep 2 5.25\nresult ") + kResult);
  EXPECT_EQ(verdict["status"], "ok") << verdict.dump(2);
  EXPECT_EQ(verdict["message"], "val_loss 2.5");
  EXPECT_EQ(verdict["flags"], Json::array());
  EXPECT_EQ(verdict["jail"]["exit_code"], 0);
  EXPECT_TRUE(verdict["jail"]["killed_by"].is_null());
  EXPECT_EQ(verdict["result"]["findings"].back()["rule"], "determinism");
  EXPECT_EQ(verdict["result"]["findings"].back()["ok"], true);
  for (const Json& layer : verdict["jail"]["layers"])
    if (layer["layer"] != "cgroup") {
      EXPECT_EQ(layer["state"], "active") << layer;
    }
  EXPECT_EQ(read("output/weights.safetensors"), "weights");

  const auto events = split_lines(read("events.jsonl"));
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(Json::parse(events[0])["type"], "header");
  EXPECT_EQ(Json::parse(events[5])["type"], "result");
  EXPECT_THAT(read("events.jsonl"), Not(HasSubstr("nonce")));
  const auto log = split_lines(read("log.tsv"));
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[1], "1\t1\t5.5\t9.5\t1\t2.5\t0.001\t0.5\t1\t0.25\t0.5\t0.25");
}

TEST_F(SupervisorTest, ACheckIsNotRepeatedAndNeedsNoWeights) {
  job_["kind"] = "check";
  const Json verdict = run(std::string("result ") + kResult);
  EXPECT_EQ(verdict["status"], "ok");
  EXPECT_EQ(verdict["result"]["findings"].size(), 0u);
}

TEST_F(SupervisorTest, AnOkWithoutWeightsIsNotOk) {
  const Json verdict = run(std::string("result ") + kResult);
  EXPECT_EQ(verdict["status"], "infrastructure");
  EXPECT_THAT(verdict["message"], HasSubstr("weights.safetensors"));
}

TEST_F(SupervisorTest, ADifferentRepetitionIsRejected) {
  std::string other = kResult;
  other.replace(other.find("5.25"), 4, "5.26");
  const Json verdict = run("verify " + other + "\n" + with_result("loaded"));
  EXPECT_EQ(verdict["status"], "rejected");
  EXPECT_THAT(verdict["message"], HasSubstr("step 2 was 5.25 and then 5.26"));
  EXPECT_EQ(verdict["result"]["findings"].back()["ok"], false);
}

TEST_F(SupervisorTest, TheRepetitionCantChangeTheWeights) {
  const Json verdict =
      run("verify-do attempt write_file output/weights.safetensors\n" + with_result("loaded"));
  EXPECT_EQ(verdict["status"], "ok");
  EXPECT_EQ(read("output/weights.safetensors"), "weights");
  EXPECT_THAT(read("output.txt"),
              AnyOf(HasSubstr("write_file: Permission denied"),  // root: another user
                    HasSubstr("write_file: Read-only file system")));
}

TEST_F(SupervisorTest, TheTrainersStatusIsTheRuns) {
  for (const char* status : {"script_error", "rejected", "diverged", "out_of_memory"}) {
    const Json verdict = run("loaded\nresult {\"type\":\"result\",\"status\":\"" +
                             std::string(status) + "\",\"message\":\"why\"}\nexit 1");
    EXPECT_EQ(verdict["status"], status);
    EXPECT_EQ(verdict["message"], "why");
  }
}

TEST_F(SupervisorTest, ForgedRecordsEndTheRun) {
  for (const std::string line :
       {"raw {\"type\":\"result\",\"status\":\"ok\",\"nonce\":\"0123\"}",
        "raw {\"type\":\"result\",\"status\":\"ok\"}", "raw 2.5", "raw hello", "bytes 2000000"}) {
    const Json verdict = run("loaded\n" + line + "\nattempt sleep 20000\n" + with_result(""));
    EXPECT_EQ(verdict["status"], "violation") << line;
    EXPECT_EQ(verdict["jail"]["killed_by"], "events") << line;
    EXPECT_TRUE(verdict["result"].is_null());
  }
}

TEST_F(SupervisorTest, AResultOnStandardOutputIsOnlyText) {
  const Json verdict = run("loaded\nattempt nothing\nexit 0");
  EXPECT_EQ(verdict["status"], "infrastructure");
  EXPECT_EQ(read("output.txt"), "nothing: worked\n");
}

TEST_F(SupervisorTest, CrashesAreTheCandidatesOnlyOnceItIsLoaded) {
  EXPECT_EQ(run("attempt write_zero")["status"], "infrastructure");
  const Json verdict = run("loaded\nattempt write_zero");
  EXPECT_EQ(verdict["status"], "violation");
  EXPECT_EQ(verdict["jail"]["signal"], "SIGSEGV");
  EXPECT_EQ(run("loaded\nlock\nattempt abort")["status"], "violation");
  EXPECT_EQ(run("loaded\nexit 3")["status"], "infrastructure");
}

TEST_F(SupervisorTest, WhatKillsTheRunIsNamed) {
  const auto expect = [&](const std::string& script, const char* status, const char* killed_by) {
    const Json verdict = run("loaded\n" + script + "\n" + with_result(""));
    EXPECT_EQ(verdict["status"], status) << script;
    EXPECT_EQ(verdict["jail"]["killed_by"], killed_by) << script;
  };
  expect("attempt memory 600", "out_of_memory", "memory");
  expect("attempt fill_64_mb output/big", "violation", "file_size");
  expect("attempt ptrace", "violation", "seccomp");
  expect("lock\nattempt open /dev/null", "violation", "seccomp");
  expect("lock\nattempt thread", "violation", "seccomp");
  job_["preset"]["limits"]["deadline_s"] = 1;
  expect("attempt sleep 20000", "timeout", "deadline");
}

TEST_F(SupervisorTest, RefusedAttemptsDontEndALegalRun) {
  for (const char* attempt : {"fork", "socket_inet", "execve", "open /etc/passwd",
                              "many_threads 100", "leaked_descriptor 4"})
    EXPECT_EQ(run("attempt " + std::string(attempt) + "\n" + with_result("loaded"))["status"], "ok")
        << attempt;
  EXPECT_THAT(read("output.txt"), HasSubstr("leaked_descriptor: Bad file descriptor"));
}

TEST_F(SupervisorTest, AFloodOfTextIsCut) {
  EXPECT_EQ(run("noise 20\nattempt nothing\n" + with_result("loaded"))["status"], "ok");
  EXPECT_EQ(read("output.txt").size(), 64u << 10);
}

TEST_F(SupervisorTest, TheDeadlineCoversTheRepetition) {
  job_["preset"]["limits"]["deadline_s"] = 2;
  const Json verdict = run("verify-do attempt sleep 60000\n" + with_result("loaded"));
  EXPECT_EQ(verdict["status"], "timeout");
  EXPECT_EQ(verdict["jail"]["killed_by"], "deadline");
}

// Waits until the run has got as far as writing `text` to events.jsonl.
void wait_until_in_events(const fs::path& folder, const std::string& text) {
  while (read_file(folder / "events.jsonl").value_or("").find(text) == std::string::npos)
    ::usleep(5000);
}

TEST_F(SupervisorTest, SigtermCancels) {
  const pid_t supervisor = start("loaded\nattempt sleep 60000");
  wait_until_in_events(folder_, "candidate_loaded");
  ::kill(supervisor, SIGHUP);  // no reason to stop
  ::kill(supervisor, SIGTERM);
  EXPECT_EQ(wait_for(supervisor), 0);
  EXPECT_EQ(verdict()["status"], "cancelled");
  EXPECT_EQ(verdict()["jail"]["killed_by"], "cancelled");
}

TEST_F(SupervisorTest, ALockedRunIsLeftAlone) {
  const pid_t supervisor = start("loaded\nattempt sleep 60000");
  wait_until_in_events(folder_, "candidate_loaded");
  EXPECT_EQ(wait_for(start_in(folder_)), 1);
  ::kill(supervisor, SIGTERM);
  EXPECT_EQ(wait_for(supervisor), 0);
  // A second supervisor of a run that is over does nothing.
  const std::string before = read("verdict.json");
  EXPECT_EQ(wait_for(start_in(folder_)), 0);
  EXPECT_EQ(read("verdict.json"), before);
}

TEST_F(SupervisorTest, ARunWhoseSupervisorWasKilledIsNotStartedAgain) {
  const pid_t supervisor = start("loaded\nattempt sleep 60000");
  wait_until_in_events(folder_, "candidate_loaded");
  ::kill(supervisor, SIGKILL);
  wait_for(supervisor);
  EXPECT_FALSE(fs::exists(folder_ / "verdict.json"));
  // The lock tells that it is dead; nothing of the jail holds it for longer.
  auto lock = open_file(folder_ / "supervisor.lock", O_RDWR);
  ASSERT_TRUE(lock);
  EXPECT_EQ(::flock(lock->get(), LOCK_EX), 0);
  lock->reset();
  EXPECT_EQ(wait_for(start_in(folder_)), 0);
  EXPECT_EQ(verdict()["status"], "infrastructure");
}

// Its checkpoints fit no other device, so "auto" does not choose again.
TEST_F(SupervisorTest, ARunThatBeganOnAGpuDoesNotGoOnWithoutOne) {
  if (sandbox::gpu_present()) GTEST_SKIP() << "there is a GPU here";
  job_["preset"]["train"] = {{"steps", 100}, {"device", "auto"}};
  job_["preset"]["checkpoint"] = {{"every", 10}, {"keep", 2}};
  const pid_t supervisor = start("loaded\nattempt sleep 60000");
  wait_until_in_events(folder_, "candidate_loaded");
  ::kill(supervisor, SIGKILL);
  wait_for(supervisor);
  const std::string events = read("events.jsonl");
  const auto began_on = [&](const std::string& device) {
    std::ofstream(folder_ / "events.jsonl")
        << events << Json{{"type", "machine"}, {"device", device}}.dump() << "\n"
        << Json{{"type", "checkpoint"}, {"step", 10}, {"ok", true}}.dump() << "\n";
  };
  began_on("NVIDIA H200");
  std::ofstream(folder_ / "output/checkpoint-0.safetensors") << "whole";
  const std::string before = read("events.jsonl");
  EXPECT_EQ(wait_for(start_in(folder_)), 0);
  EXPECT_EQ(verdict()["status"], "infrastructure");
  EXPECT_THAT(verdict()["message"],
              AllOf(HasSubstr("began on a GPU"), HasSubstr("nvidiactl is not there")));
  EXPECT_EQ(read("events.jsonl"), before);
  EXPECT_EQ(read("output/checkpoint-0.safetensors"), "whole");

  fs::remove(folder_ / "verdict.json");
  began_on("cpu");
  job_["candidate"]["content"] = with_result("loaded");
  std::ofstream(folder_ / "job.json") << job_.dump();
  EXPECT_EQ(wait_for(start_in(folder_)), 0);
  EXPECT_EQ(verdict()["status"], "ok") << verdict().dump(2);
}

TEST_F(SupervisorTest, AMissingLayerIsRefusedUnlessDegradedIsAllowed) {
  ::setenv("BITLOOP_DISABLE_LAYERS", "landlock", 1);
  const Json refused = run(with_result("loaded"));
  EXPECT_EQ(refused["status"], "infrastructure");
  EXPECT_THAT(refused["message"], HasSubstr("landlock"));
  EXPECT_THAT(refused["message"], HasSubstr("--allow-degraded"));
  EXPECT_THAT(refused["jail"]["layers"].dump(), HasSubstr("missing: disabled for a test"));
  job_["allow_degraded"] = true;
  const Json degraded = run(with_result("loaded"));
  EXPECT_EQ(degraded["status"], "ok");
  EXPECT_EQ(degraded["flags"], Json::array({"degraded"}));
  // Without a file system of its own, output/ is found all the same.
  ::setenv("BITLOOP_DISABLE_LAYERS", "user_namespace", 1);
  EXPECT_EQ(run(with_result("loaded"))["status"], "ok");
}

TEST_F(SupervisorTest, WhatIsMissingIsSaid) {
  job_["data_dir"] = (root_ / "nowhere").string();
  EXPECT_THAT(run(with_result("loaded"))["message"], HasSubstr("nowhere"));
  job_["data_dir"] = (root_ / "data").string();
  ::setenv("BITLOOP_TRAINER", "/nonexistent/trainer", 1);
  EXPECT_THAT(run(with_result("loaded"))["message"], HasSubstr("/nonexistent/trainer"));
  EXPECT_EQ(verdict()["status"], "infrastructure");
  job_["schema_version"] = 2;
  EXPECT_THAT(run("")["message"], HasSubstr("schema_version"));
  EXPECT_EQ(wait_for(start_in(root_ / "no-such-run")), 3);
}

// A check that is started before its candidate is known, and gets it on standard input.
class WaitingCheckTest : public SupervisorTest {
 protected:
  // Starts it; `prelude` is what the trainer plays before it reads the candidate.
  void prepare(const std::string& prelude = "") {
    folder_ = root_ / ("run-" + std::to_string(++runs_));
    fs::create_directory(folder_);
    job_["kind"] = kind_;
    job_["candidate"] = nullptr;
    job_["prelude"] = prelude;
    std::ofstream(folder_ / "job.json") << job_.dump();
    auto ends = make_pipe();
    ASSERT_TRUE(ends);
    supervisor_ = ::fork();
    if (supervisor_ == 0) {
      ::dup2(ends->read.get(), STDIN_FILENO);
      ends->read.reset();
      ends->write.reset();
      ::_exit(supervise(folder_));
    }
    candidate_ = std::move(ends->write);
  }
  Json hand_over(const std::string& script) {
    EXPECT_TRUE(
        write_all(candidate_.get(), Json{{"path", "candidate.lua"}, {"content", script}}.dump()));
    return end();
  }
  Json end() {
    candidate_.reset();
    EXPECT_EQ(wait_for(supervisor_), 0);
    return verdict();
  }

  const char* kind_ = "check";
  pid_t supervisor_ = -1;
  UniqueFd candidate_;
};

TEST_F(WaitingCheckTest, EndsAsAnyOther) {
  prepare("lock");
  const Json verdict = hand_over(std::string("loaded\nresult ") + kResult);
  EXPECT_EQ(verdict["status"], "ok") << verdict.dump(2);
  EXPECT_THAT(read("events.jsonl"), Not(HasSubstr("nonce")));
  prepare();
  EXPECT_EQ(hand_over("loaded\nraw hello")["status"], "violation");
  prepare();
  EXPECT_EQ(hand_over("loaded\nattempt write_zero")["status"], "violation");
  prepare();
  EXPECT_EQ(hand_over("loaded\nattempt memory 600")["status"], "out_of_memory");
}

TEST_F(WaitingCheckTest, ItsDeadlineBeginsWithTheCandidateAndOnlyOnce) {
  job_["preset"]["limits"]["deadline_s"] = 1;
  prepare("attempt sleep 1200");
  EXPECT_EQ(hand_over(std::string("loaded\nresult ") + kResult)["status"], "ok");
  prepare();
  EXPECT_EQ(hand_over("loaded\nattempt sleep 20000")["status"], "timeout");
  prepare();
  const std::string more = "loaded\nattempt sleep 600\n";
  EXPECT_EQ(hand_over(more + more + more + "result " + kResult)["status"], "timeout");
}

TEST_F(WaitingCheckTest, WithoutACandidateItEndsAndNobodyIsToBlame) {
  prepare();
  EXPECT_EQ(end()["status"], "infrastructure");
  EXPECT_THAT(verdict()["message"], HasSubstr("before its candidate came"));
  prepare("attempt memory 600");
  EXPECT_EQ(hand_over("loaded")["status"], "infrastructure");
  EXPECT_EQ(verdict()["jail"]["killed_by"], "memory");
  prepare();
  wait_until_in_events(folder_, "header");
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end()["status"], "infrastructure");
}

TEST_F(WaitingCheckTest, OnlyAChecksCandidateMayComeLater) {
  kind_ = "train";
  prepare();
  EXPECT_EQ(end()["status"], "infrastructure");
  EXPECT_THAT(verdict()["message"], HasSubstr("only a check"));
}

}  // namespace
}  // namespace bitloop::jobs
