// Section "breaking out after memory corruption": every native attempt is made freely (the
// control), in the jail, and in the jail after the trainer's own lock-down.
#include "sandbox/lock_down.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <ostream>

#include "tests/sandbox/jail_fixture.h"

namespace bitloop::testing {
namespace {

enum Expected {
  kWorks,
  kRefused,  // an errno
  kKilled,   // SIGSYS
};

struct Case {
  const char* name;
  const char* argument;
  Expected in_jail;
  Expected locked;
};

void PrintTo(const Case& attempt, std::ostream* out) { *out << attempt.name; }

const Case kCases[] = {
    {"open", "/dev/null", kWorks, kKilled},
    {"write_file", "output/x", kWorks, kKilled},
    {"unlink", "/output/x", kRefused, kKilled},
    {"chdir", "", kRefused, kKilled},
    {"mknod", "/tmp/memory", kRefused, kKilled},
    {"execve", "", kRefused, kKilled},
    {"socket_inet", "", kRefused, kKilled},
    {"socket_unix", "", kRefused, kKilled},
    {"socket_vsock", "", kRefused, kKilled},
    {"fork", "", kRefused, kKilled},
    {"thread", "", kWorks, kKilled},
    {"kill_init", "", kRefused, kKilled},
    {"ptrace", "", kKilled, kKilled},
    {"read_memory", "1", kKilled, kKilled},
    {"io_uring", "", kKilled, kKilled},
    {"memfd", "", kKilled, kKilled},
    {"map_exec", "", kWorks, kRefused},
    {"protect_exec", "", kWorks, kRefused},
    {"map_file", "", kWorks, kRefused},
    {"int80", "", kKilled, kKilled},
    {"x32", "", kKilled, kKilled},
    {"prctl", "", kRefused, kKilled},
    {"setrlimit", "", kRefused, kKilled},
    {"keyctl", "", kKilled, kKilled},
    {"bpf", "", kKilled, kKilled},
    {"userfaultfd", "", kKilled, kKilled},
    {"perf", "", kKilled, kKilled},
    {"unshare", "", kKilled, kKilled},
    {"setns", "", kKilled, kKilled},
    {"clone3_namespace", "", kRefused, kKilled},
    {"mount", "", kKilled, kKilled},
    {"pivot_root", "", kKilled, kKilled},
    {"tiocsti", "", kRefused, kRefused},
    // What a legal run does after the lock-down.
    {"nothing", "", kWorks, kWorks},
    {"memory", "20", kWorks, kWorks},
    {"sleep", "20", kWorks, kWorks},
};

Expected outcome(const sandbox::Verdict& verdict) {
  if (verdict.signal == SIGSYS) return kKilled;
  return verdict.exit_code == 0 ? kWorks : kRefused;
}

class NativeAttempt : public JailTest, public ::testing::WithParamInterface<Case> {
 protected:
  sandbox::Policy policy_with_file(std::vector<std::string> arguments) {
    file_ = open_file(BITLOOP_TEST_GUEST, O_RDONLY).value();
    sandbox::Policy result = policy(std::move(arguments));
    result.descriptors = {{file_.get(), 0}};
    return result;
  }
  UniqueFd file_;
};

TEST_P(NativeAttempt, FailsInTheJailAndAfterTheLockDown) {
  const Case& attempt = GetParam();
  // Control: without filters nothing kills it for the attempt.
  const sandbox::Verdict unfiltered =
      run_without(policy_with_file({attempt.name, attempt.argument}), {"seccomp"});
  EXPECT_NE(unfiltered.signal, SIGSYS);

  const sandbox::Verdict in_jail = run(policy_with_file({attempt.name, attempt.argument}));
  EXPECT_EQ(outcome(in_jail), attempt.in_jail) << said_;
  EXPECT_EQ(in_jail.killed_by.has_value(), attempt.in_jail == kKilled);
  const sandbox::Verdict locked = run(policy_with_file({"locked", attempt.name, attempt.argument}));
  EXPECT_EQ(outcome(locked), attempt.locked) << said_;
  if (attempt.locked == kKilled) {
    EXPECT_EQ(locked.killed_by, sandbox::KilledBy::kSeccomp);
  }
}

INSTANTIATE_TEST_SUITE_P(F, NativeAttempt, ::testing::ValuesIn(kCases),
                         [](const auto& param) { return std::string(param.param.name); });

// The attempts that a plain user can make do work without a jail: the table above is not refused
// for want of trying.
TEST_F(JailTest, AttemptsWorkOutside) {
  for (const char* name : {"socket_inet", "socket_unix", "fork", "thread", "execve", "ptrace",
                           "memfd", "map_exec", "protect_exec", "prctl", "setrlimit", "chdir"}) {
    const int status = run_free({name, ""});
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << name;
  }
}

TEST_F(JailTest, LockDownAloneHoldsWithoutTheJail) {
  for (const char* name : {"socket_inet", "fork", "thread", "execve", "open", "memfd"}) {
    const int status = run_free({"locked", name, "/dev/null"});
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << name;
  }
  EXPECT_EQ(run_free({"locked", "nothing"}), 0);
}

TEST_F(JailTest, AbortAfterTheLockDownIsAFaultNotAViolationOfTheFilter) {
  const sandbox::Verdict verdict = run(policy({"locked", "abort"}));
  EXPECT_EQ(verdict.signal, SIGABRT);
  EXPECT_FALSE(verdict.killed_by);
}

using LockDownTest = JailTest;

TEST_F(LockDownTest, AConnectedRankUsesWhatIsOpenAndOpensNothing) {
  const auto with_connection = [&](std::vector<std::string> arguments) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd theirs(ends[0]), ours(ends[1]);
    EXPECT_EQ(::write(ours.get(), "x", 1), 1);
    sandbox::Policy wanted = policy(std::move(arguments));
    wanted.network = wanted.allow_degraded = true;
    wanted.descriptors = {{theirs.get(), 7}};
    const sandbox::Verdict verdict = run(wanted);
    EXPECT_TRUE(sandbox::is_degraded(verdict.layers));
    return outcome(verdict);
  };
  EXPECT_EQ(with_connection({"talk", "7"}), kWorks) << said_;
  EXPECT_EQ(with_connection({"locked-connected", "talk", "7"}), kWorks) << said_;
  EXPECT_EQ(with_connection({"locked", "talk", "7"}), kKilled);
  EXPECT_EQ(with_connection({"socket_inet"}), kWorks) << said_;  // until the lock-down
  EXPECT_EQ(with_connection({"locked-connected", "accept", "7"}), kRefused);
  for (const char* attempt : {"socket_inet", "socket_unix", "open", "thread", "fork", "execve"})
    EXPECT_EQ(with_connection({"locked-connected", attempt, "/usr"}), kKilled) << attempt;
  // A policy with the network starts nothing unless the missing wall is accepted.
  sandbox::Policy strict = policy({"nothing"});
  strict.network = true;
  std::vector<sandbox::LayerState> layers;
  const auto refused = sandbox::Jail::start(strict, &layers);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "sandbox_unavailable");
}

}  // namespace
}  // namespace bitloop::testing
