// What is kept ready, when, and what becomes of it; the supervisors are shell scripts. With the
// real ones: tests/harness/jobs/supervisor_test.cpp and tests/e2e/ready_checks_test.py.
#include "harness/jobs/ready_checks.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <future>
#include <set>

#include "harness/base/text.h"
#include "harness/jobs/ready_trainer.h"
#include "tests/harness/jobs_queue/fake_run.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// Writes how it was started and what its candidate was into `log`; one without a candidate waits
// for it, and ends as "infrastructure" when none comes.
const std::string kSupervisor = R"(
log="$1/../../log"
say() { printf '{"status":"%s","message":"%s"}' "$1" "$2" >"$3/verdict.json"; }
if grep -q '"candidate": null' "$1/job.json"; then
  echo $$ >"$1/waits"
  candidate=$(cat)
  rm "$1/waits"
  [ -n "$candidate" ] || { echo unused >>"$log"; say infrastructure unused "$1"; exit; }
  echo "warm $candidate" >>"$log"
  say ok warm "$1"
else
  echo "cold" >>"$log"
  say ok cold "$1"
fi
)";

class ReadyChecksTest : public FakeRun {
 protected:
  void SetUp() override {
    // Part of what a trainer is known by.
    ASSERT_TRUE(write_file_atomic(folder_ / "trainer", "one"));
    ::setenv("BITLOOP_TRAINER", (folder_ / "trainer").c_str(), 1);
    supervisor_is(kSupervisor);
  }
  void TearDown() override {
    ::unsetenv("BITLOOP_TRAINER");
    FakeRun::TearDown();
  }
  ReadyChecks::Options options(size_t most = 2) const {
    return {.folder = folder_ / "runs", .prefix = "check-", .most = most, .pause = 50ms};
  }
  static Result<nlohmann::json> job(const std::string& name) {
    return nlohmann::json{{"name", name}, {"candidate", {{"content", "none yet"}}}};
  }
  static nlohmann::json job_of(const std::string& name, const std::string& candidate) {
    nlohmann::json whole = *job(name);
    whole["candidate"]["content"] = candidate;
    return whole;
  }
  // The names for which one waits, and their processes.
  std::map<std::string, pid_t> waiting() const {
    std::map<std::string, pid_t> found;
    std::error_code error;
    for (fs::directory_iterator entry(folder_ / "runs", error), end; !error && entry != end;
         entry.increment(error)) {
      const auto pid = read_file(entry->path() / "waits");
      const auto job =
          nlohmann::json::parse(read_file(entry->path() / "job.json").value_or(""), nullptr, false);
      if (pid && !pid->empty() && job.is_object() && run_is_alive(entry->path()))
        found[job.value("name", "")] = std::stoi(*pid);
    }
    return found;
  }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& [name, pid] : waiting()) found.insert(name);
    return found;
  }
  // A trainer may say that it waits before the thread that started it has put it down: then the
  // next check would not find it.
  void wait_for(ReadyChecks& checks, const std::set<std::string>& wanted) const {
    const auto is_ready = [&](const std::string& name) { return checks.is_ready(name); };
    while (names() != wanted || !std::ranges::all_of(wanted, is_ready))
      std::this_thread::sleep_for(2ms);
  }
  // Waits for another one than `old`; its process.
  pid_t wait_for_successor(ReadyChecks& checks, const std::string& name, pid_t old) const {
    while (true) {
      const auto now = waiting();
      if (const auto found = now.find(name);
          found != now.end() && found->second != old && checks.is_ready(name))
        return found->second;
      std::this_thread::sleep_for(2ms);
    }
  }
  std::string log() const { return read_file(folder_ / "log").value_or(""); }
  bool folders_left() const {
    std::error_code error;
    return fs::exists(folder_ / "runs", error) && !fs::is_empty(folder_ / "runs", error);
  }
};

TEST_F(ReadyChecksTest, NothingStartsBeforeItIsWanted) {
  ReadyChecks checks(options(), job);
  EXPECT_FALSE(folders_left());
}

TEST_F(ReadyChecksTest, ACheckTakesTheOneThatWaitsAndANewOneTakesItsPlace) {
  ReadyChecks checks(options(), job);
  checks.want("quick");
  const pid_t first = wait_for_successor(checks, "quick", -1);
  EXPECT_EQ(checks.run("quick", job_of("quick", "first"), 60'000).message, "warm");
  EXPECT_EQ(log(), "warm {\"content\":\"first\"}\n");
  wait_for_successor(checks, "quick", first);  // never the same one again
  EXPECT_EQ(checks.run("quick", job_of("quick", "second"), 60'000).message, "warm");
}

TEST_F(ReadyChecksTest, TheFirstCheckIsColdAndTheNextIsNot) {
  ReadyChecks checks(options(), job);
  EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 60'000).message, "cold");
  wait_for(checks, {"quick"});
  EXPECT_EQ(checks.run("quick", job_of("quick", "b"), 60'000).message, "warm");
}

TEST_F(ReadyChecksTest, ACandidateThatIsLongerThanAPipeArrivesWhole) {
  ReadyChecks checks(options(), job);
  checks.want("quick");
  wait_for(checks, {"quick"});
  const std::string longer(300'000, 'x');
  EXPECT_EQ(checks.run("quick", job_of("quick", longer), 60'000).message, "warm");
  EXPECT_EQ(log(), "warm {\"content\":\"" + longer + "\"}\n");
}

TEST_F(ReadyChecksTest, WithNoneEveryCheckIsCold) {
  ReadyChecks checks(options(0), job);
  checks.want("quick");
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 60'000).message, "cold");
  EXPECT_EQ(names(), std::set<std::string>());
  EXPECT_FALSE(folders_left());
}

TEST_F(ReadyChecksTest, ParallelChecksShareNoTrainer) {
  supervisor_is("while [ ! -e \"$1/../../go\" ]; do sleep 0.005; done\n" + kSupervisor);
  ReadyChecks checks(options(), job);
  ASSERT_TRUE(write_file_atomic(folder_ / "go", ""));
  checks.want("quick");
  wait_for(checks, {"quick"});
  fs::remove(folder_ / "go");
  const auto check = [&](const char* candidate) {
    return std::async(std::launch::async, [&checks, candidate] {
      return checks.run("quick", job_of("quick", candidate), 60'000).message;
    });
  };
  auto a = check("a"), b = check("b"), c = check("c");
  std::this_thread::sleep_for(20ms);
  ASSERT_TRUE(write_file_atomic(folder_ / "go", ""));
  std::multiset<std::string> messages = {a.get(), b.get(), c.get()};
  EXPECT_EQ(messages, (std::multiset<std::string>{"cold", "cold", "warm"}));
}

TEST_F(ReadyChecksTest, OnlyTheLastNamesAreKeptReady) {
  ReadyChecks checks(options(2), job);
  checks.want("a");
  wait_for(checks, {"a"});
  checks.want("b");
  wait_for(checks, {"a", "b"});
  checks.want("a");
  checks.want("c");
  wait_for(checks, {"a", "c"});
}

TEST_F(ReadyChecksTest, AnIdleOneIsReleasedWithItsFolder) {
  ReadyChecks::Options brief = options();
  brief.idle = 300ms;
  ReadyChecks checks(brief, job);
  checks.want("quick");
  while (log() != "unused\n" && folders_left()) std::this_thread::sleep_for(2ms);
  wait_for(checks, {});
  while (folders_left()) std::this_thread::sleep_for(2ms);
  checks.want("quick");  // and comes back
  wait_for(checks, {"quick"});
}

TEST_F(ReadyChecksTest, AnotherJobOrProgramIsNotTaken) {
  ReadyChecks checks(options(), job);
  checks.want("quick");
  pid_t waits = wait_for_successor(checks, "quick", -1);
  nlohmann::json other = job_of("quick", "a");
  other["preset"] = "edited";
  EXPECT_EQ(checks.run("quick", other, 60'000).message, "cold");
  waits = wait_for_successor(checks, "quick", waits);
  ASSERT_TRUE(write_file_atomic(folder_ / "trainer", "another"));
  EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 60'000).message, "cold");
  wait_for_successor(checks, "quick", waits);
  nlohmann::json of_another_session = job_of("quick", "a");
  of_another_session["session"] = "brave-otter-1f3a";
  EXPECT_EQ(checks.run("quick", of_another_session, 60'000).message, "warm");
}

TEST_F(ReadyChecksTest, ACheckAfterItWasKilledStartsCold) {
  ReadyChecks checks(options(), job);
  checks.want("quick");
  const pid_t killed = wait_for_successor(checks, "quick", -1);
  ASSERT_EQ(::kill(killed, SIGKILL), 0);
  EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 60'000).message, "cold");
  wait_for_successor(checks, "quick", killed);  // after the pause
}

TEST_F(ReadyChecksTest, ACheckWhoseTrainerDiesWithTheCandidateStartsCold) {
  supervisor_is("grep -q '\"candidate\": null' \"$1/job.json\" || { " + std::string(kWriteOk) +
                "; exit; }; echo $$ >\"$1/waits\"; cat >/dev/null; kill -9 $$");
  ReadyChecks checks(options(), job);
  checks.want("quick");
  wait_for(checks, {"quick"});
  EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 60'000).message, "Done.");
}

TEST_F(ReadyChecksTest, OneThatAlwaysDiesIsStartedRarely) {
  supervisor_is("echo started >>\"$1/../../log\"; exit 1");
  ReadyChecks::Options patient = options();
  patient.pause = 1h;
  ReadyChecks checks(patient, job);
  checks.want("quick");
  while (log().empty()) std::this_thread::sleep_for(2ms);
  while (folders_left()) {
    checks.want("quick");
    std::this_thread::sleep_for(2ms);
  }
  for (int i = 0; i < 10; ++i) {
    checks.want("quick");
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_EQ(log(), "started\n");
}

TEST_F(ReadyChecksTest, AJobThatCannotBeMadeKeepsNothingReady) {
  std::atomic<int> asked{0};
  ReadyChecks checks(options(), [&](const std::string&) -> Result<nlohmann::json> {
    ++asked;
    return fail("unknown_preset", "there is none");
  });
  checks.want("quick");
  while (asked == 0) std::this_thread::sleep_for(2ms);
  EXPECT_FALSE(folders_left());
  EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 60'000).message, "cold");
}

TEST_F(ReadyChecksTest, ItsTimeoutIsThatOfACheck) {
  supervisor_is("echo $$ >\"$1/waits\"; cat >/dev/null; while :; do sleep 0.01; done");
  ReadyChecks checks(options(), job);
  checks.want("quick");
  wait_for(checks, {"quick"});
  EXPECT_EQ(checks.run("quick", job_of("quick", "a"), 10).status, "timeout");
}

TEST_F(ReadyChecksTest, StopEndsWhatWaits) {
  ReadyChecks checks(options(), job);
  checks.want("a");
  checks.want("b");
  wait_for(checks, {"a", "b"});
  const auto before = waiting();
  checks.stop();
  for (const auto& [name, pid] : before) EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_FALSE(folders_left());
  checks.want("a");
  EXPECT_FALSE(folders_left());
  EXPECT_EQ(checks.run("a", job_of("a", "late"), 60'000).message, "cold");
}

}  // namespace
}  // namespace bitloop::jobs
