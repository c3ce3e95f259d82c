// Each layer, attacked: the attempt fails in the jail, and works once the layer that stops it is
// taken away.
#include "sandbox/jail.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <csignal>

#include "tests/sandbox/jail_fixture.h"

namespace bitloop::testing {
namespace {

using sandbox::KilledBy;
using sandbox::Verdict;
using ::testing::HasSubstr;

// All walls between the guest and the host's files and processes.
const std::set<std::string> kAllNamespaces = {"user_namespace", "landlock", "seccomp"};

TEST_F(JailTest, LegalProgramRunsToItsEnd) {
  const Verdict verdict = run(policy({"nothing"}));
  EXPECT_EQ(verdict.exit_code, 0);
  EXPECT_FALSE(verdict.signal);
  EXPECT_FALSE(verdict.killed_by);
  EXPECT_EQ(said_, "worked\n");
  EXPECT_EQ(verdict.layers.size(), static_cast<size_t>(sandbox::kLayerCount));
  EXPECT_FALSE(sandbox::is_degraded(verdict.layers));
}

TEST_F(JailTest, OutputIsTheOneWritableFolder) {
  EXPECT_EQ(run(policy({"write_file", "output/weights"})).exit_code, 0) << said_;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "output/weights"));
  EXPECT_EQ(run(policy({"write_file", "/tmp/x"})).exit_code, 0) << said_;
  for (const char* path : {"/x", "/usr/lib/x", "/dev/x", "/etc/x", "/proc/x"}) {
    EXPECT_EQ(run(policy({"write_file", path})).exit_code, 1) << path;
  }
  auto read_only = policy({"write_file", "output/more"});
  read_only.output_writable = false;
  EXPECT_EQ(run(read_only).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "output/more"));
}

TEST_F(JailTest, FilesOfTheHostAreNotThere) {
  const std::string secret = (folder_ / "secret").string();
  std::ofstream(secret) << "key";
  std::filesystem::permissions(secret, std::filesystem::perms(0644));
  EXPECT_EQ(run(policy({"open", secret})).exit_code, 1);
  EXPECT_EQ(said_, "No such file or directory\n");
  for (const char* path :
       {"/proc/1/environ", "/proc/self/mem", "/sys/kernel", "/etc/passwd", "/dev/mem", "/dev/kmsg"})
    EXPECT_EQ(run(policy({"open", path})).exit_code, 1) << path;
  // Landlock alone refuses it too.
  EXPECT_EQ(run_without(policy({"open", secret}), {"file_system"}).exit_code, 1);
  EXPECT_EQ(said_, "Permission denied\n");
  EXPECT_EQ(run_without(policy({"open", secret}), {"file_system", "landlock"}).exit_code, 0)
      << said_;
}

TEST_F(JailTest, NamedFilesCanBeRead) {
  const std::string data = (folder_ / "data").string();
  std::filesystem::create_directory(data);
  std::ofstream(data + "/train.bin") << "text";
  std::filesystem::create_directory_symlink(data, folder_ / "link");
  auto with_data = policy({"open", (folder_ / "link/train.bin").string()});
  with_data.read_only = {folder_ / "link"};
  EXPECT_EQ(run(with_data).exit_code, 0) << said_;
  with_data.arguments = {"write_file", (folder_ / "link/train.bin").string()};
  EXPECT_EQ(run(with_data).exit_code, 1);
}

TEST_F(JailTest, NoOtherProgramRuns) {
  EXPECT_EQ(run(policy({"own_program", "output"})).exit_code, 1);
  EXPECT_EQ(said_, "Permission denied\n");
  EXPECT_EQ(run(policy({"execve"})).exit_code, 1);
  EXPECT_EQ(run_without(policy({"execve"}), {"user_namespace", "landlock"}).exit_code, 0) << said_;
}

TEST_F(JailTest, NoNetwork) {
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(server.get(), 8), 0);
  socklen_t size = sizeof address;
  ::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const auto connect = policy({"connect", std::to_string(ntohs(address.sin_port))});

  EXPECT_EQ(run(connect).exit_code, 1);
  EXPECT_EQ(said_, "Operation not permitted\n");  // no sockets at all
  EXPECT_EQ(run_without(connect, {"seccomp"}).exit_code, 1);
  EXPECT_EQ(run_without(connect, {"seccomp", "landlock"}).exit_code, 1);
  EXPECT_EQ(said_, "Network is unreachable\n");
  EXPECT_EQ(run_without(connect, {"seccomp", "landlock", "net_namespace"}).exit_code, 0) << said_;
}

TEST_F(JailTest, OtherProcessesCantBeReached) {
  const auto signal_us = policy({"signal_process", std::to_string(::getpid())});
  EXPECT_EQ(run(signal_us).exit_code, 1);
  EXPECT_EQ(run_without(signal_us, {"seccomp", "landlock"}).exit_code, 1);
  EXPECT_EQ(said_, "No such process\n");
  EXPECT_EQ(run_without(signal_us, kAllNamespaces).exit_code, 0) << said_;
  // The init of the jail can't be signalled either, even without a filter.
  EXPECT_NE(run_without(policy({"kill_init"}), {"seccomp"}).signal, SIGKILL);
}

TEST_F(JailTest, DescriptorsAndEnvironmentAreNotInherited) {
  const int leaked = ::open("/", O_RDONLY);  // without O_CLOEXEC
  ::setenv("BITLOOP_TEST_SECRET", "key", 1);
  EXPECT_EQ(run(policy({"leaked_descriptor"})).exit_code, 1);
  EXPECT_EQ(run_without(policy({"leaked_descriptor"}), {"descriptors"}).exit_code, 0);
  EXPECT_EQ(run(policy({"environment", "BITLOOP_TEST_SECRET"})).exit_code, 1);
  EXPECT_TRUE(WIFEXITED(run_free({"environment", "BITLOOP_TEST_SECRET"})));
  EXPECT_EQ(WEXITSTATUS(run_free({"environment", "BITLOOP_TEST_SECRET"})), 0);
  ::close(leaked);
}

TEST_F(JailTest, ThreadsAreCounted) {
  EXPECT_EQ(run(policy({"thread"})).exit_code, 0) << said_;
  EXPECT_EQ(run(policy({"many_threads", "60"})).exit_code, 1);
  EXPECT_EQ(said_, "Resource temporarily unavailable\n");
  EXPECT_EQ(run_without(policy({"many_threads", "60"}), {"rlimits", "cgroup"}).exit_code, 0)
      << said_;
}

TEST_F(JailTest, NoProcessIsForked) {
  EXPECT_EQ(run(policy({"fork"})).exit_code, 1);
  EXPECT_EQ(run_without(policy({"fork"}), {"seccomp"}).exit_code, 0) << said_;
}

TEST_F(JailTest, ADaemonDiesWithTheJail) {
  // wait() returns only when every stream has ended, and the daemon would hold stdout.
  EXPECT_EQ(run_without(policy({"daemon"}), {"seccomp"}).exit_code, 0) << said_;
}

TEST_F(JailTest, MemoryIsCapped) {
  const Verdict verdict = run(policy({"memory", "600"}));
  EXPECT_EQ(verdict.killed_by, KilledBy::kMemory);
  EXPECT_EQ(verdict.signal, SIGKILL);
  auto generous = policy({"memory", "300"});
  generous.memory_bytes = uint64_t{1} << 30;
  EXPECT_EQ(run(generous).exit_code, 0);
}

TEST_F(JailTest, MemoryIsCappedWithoutAControlGroup) {
  // Holds it for a while, so that the supervisor looks; then gives up.
  EXPECT_EQ(run_without(policy({"memory_and_sleep", "400"}), {"cgroup"}).killed_by,
            KilledBy::kMemory);
  EXPECT_EQ(run_without(policy({"memory", "400"}), {"cgroup", "memory"}).exit_code, 0);
  // One huge allocation fails in the program.
  EXPECT_EQ(run(policy({"reserve", "4096"})).exit_code, 1);
  EXPECT_EQ(said_, "Cannot allocate memory\n");
}

TEST_F(JailTest, FileSizeIsCapped) {
  const Verdict verdict = run(policy({"fill_64_mb", "output/big"}));
  EXPECT_EQ(verdict.killed_by, KilledBy::kFileSize);
  EXPECT_EQ(verdict.signal, SIGXFSZ);
  EXPECT_EQ(run_without(policy({"fill_64_mb", "output/big"}), {"rlimits"}).exit_code, 0) << said_;
  EXPECT_EQ(run(policy({"fill_64_mb", "/tmp/big"})).exit_code, 1);
  EXPECT_EQ(said_, "No space left on device\n");
}

TEST_F(JailTest, ProcessorTimeIsCapped) {
  auto spin = policy({"spin", "3"});
  spin.cpu_time = std::chrono::seconds(1);
  EXPECT_EQ(run(spin).killed_by, KilledBy::kCpu);
  spin.cpu_time = std::chrono::seconds(60);
  EXPECT_EQ(run(spin).exit_code, 0);
}

TEST_F(JailTest, DeadlineKills) {
  auto sleep = policy({"sleep", "20000"});
  sleep.deadline = std::chrono::milliseconds(200);
  const Verdict verdict = run(sleep);
  EXPECT_EQ(verdict.killed_by, KilledBy::kDeadline);
  EXPECT_EQ(verdict.signal, SIGKILL);
  EXPECT_EQ(run(policy({"sleep", "400"})).exit_code, 0);
  sleep.arguments = {"sleep", "400"};
  EXPECT_EQ(run_without(sleep, {"deadline"}).exit_code, 0);
}

// Signals are for programs that listen; what ends this one is none that it could ignore.
TEST_F(JailTest, WhoIgnoresSignalsIsKilledAllTheSame) {
  auto spin = policy({"deaf_spin", "60"});
  spin.cpu_time = std::chrono::seconds(1);
  const Verdict verdict = run(spin);
  EXPECT_EQ(verdict.killed_by, KilledBy::kCpu);
  EXPECT_EQ(verdict.signal, SIGKILL);
  auto sleep = policy({"deaf_sleep", "20000"});
  sleep.deadline = std::chrono::milliseconds(200);
  EXPECT_EQ(run(sleep).killed_by, KilledBy::kDeadline);
  EXPECT_EQ(run(policy({"deaf_fill", "output/big"})).exit_code, 1);
  EXPECT_EQ(said_, "File too large\n");
}

TEST_F(JailTest, CancelKills) {
  auto cancel = make_pipe();
  ASSERT_TRUE(write_all(cancel->write.get(), "x"));
  auto jail = sandbox::Jail::start(policy({"sleep", "20000"}), nullptr);
  ASSERT_TRUE(jail) << jail.error().message;
  EXPECT_EQ(jail->wait({}, cancel->read.get()).killed_by, KilledBy::kCancelled);
}

TEST_F(JailTest, AStreamMayEndTheRun) {
  auto output = make_pipe();
  auto guest = policy({"nothing"});
  guest.descriptors = {{output->write.get(), 1}};
  auto jail = sandbox::Jail::start(guest, nullptr);
  ASSERT_TRUE(jail) << jail.error().message;
  output->write.reset();
  const sandbox::Stream streams[] = {
      {output->read.get(), [](std::string_view) { return std::optional(KilledBy::kEvents); }}};
  EXPECT_EQ(jail->wait(streams).killed_by, KilledBy::kEvents);
}

TEST_F(JailTest, FaultsAreNamedBySignal) {
  const Verdict verdict = run(policy({"write_zero"}));
  EXPECT_EQ(verdict.signal, SIGSEGV);
  EXPECT_FALSE(verdict.killed_by);
  EXPECT_EQ(run(policy({"abort"})).signal, SIGABRT);
}

// A process that starts a jail and is killed: its death is the jail's.
TEST_F(JailTest, NothingOutlivesAKilledSupervisor) {
  auto output = make_pipe();
  auto started = make_pipe();
  auto guest = policy({"sleep", "600000"});
  guest.descriptors = {{output->write.get(), 1}};
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    auto jail = sandbox::Jail::start(guest, nullptr);
    (void)write_all(started->write.get(), jail ? "y" : "n");
    if (jail) jail->wait({});
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(started->read.get(), &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  output->write.reset();
  // The guest holds the other end of the pipe: it is alive until the pipe hangs up.
  pollfd alive{output->read.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&alive, 1, 200), 0);
  ::kill(supervisor, SIGKILL);
  ::waitpid(supervisor, nullptr, 0);
  EXPECT_EQ(::poll(&alive, 1, 30000), 1);
  EXPECT_TRUE(alive.revents & POLLHUP);
}

TEST_F(JailTest, NothingIsLeftBehind) {
  const auto mounts = [] { return read_file("/proc/self/mountinfo").value(); };
  const std::string before = mounts();
  run(policy({"write_file", "output/weights"}));
  {
    auto abandoned = sandbox::Jail::start(policy({"sleep", "600000"}), nullptr);
    ASSERT_TRUE(abandoned);
  }
  EXPECT_EQ(mounts(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child, not even a dead one
  struct stat info {};
  ASSERT_EQ(::stat((folder_ / "output/weights").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, ::geteuid());  // root has it back
}

TEST_F(JailTest, WhatCantStartIsAnError) {
  auto nothing = policy({});
  nothing.program = "/nonexistent/program";
  EXPECT_EQ(sandbox::Jail::start(nothing, nullptr).error().code, "file_not_found");
  nothing.program = "/etc/passwd";
  EXPECT_EQ(sandbox::Jail::start(nothing, nullptr).error().code, "not_executable");
  auto missing = policy({"nothing"});
  missing.read_only = {folder_ / "not-there"};
  const auto error = sandbox::Jail::start(missing, nullptr).error();
  EXPECT_EQ(error.code, "file_not_found");
  EXPECT_THAT(error.message, HasSubstr("not-there"));
}

TEST_F(JailTest, RootTellsWhatItsGuestMayNotRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root's jails have another user";
  const std::filesystem::path closed = folder_ / "closed";
  std::filesystem::create_directory(closed);
  std::filesystem::permissions(closed, std::filesystem::perms(0700));
  auto guest = policy({"nothing"});
  guest.read_only = {closed};
  const auto error = sandbox::Jail::start(guest, nullptr).error();
  EXPECT_EQ(error.code, "not_readable");
  EXPECT_THAT(error.message, HasSubstr("chmod"));
}

// It used to end without a word.
TEST_F(JailTest, WithoutAFileSystemOfItsOwnAClosedFolderIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root's jails have another user";
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0700));
  auto guest = policy({"nothing"});
  guest.disable_for_test = {"file_system"};
  guest.allow_degraded = true;
  const auto jail = sandbox::Jail::start(guest, nullptr);
  ASSERT_FALSE(jail);
  EXPECT_EQ(jail.error().code, "not_readable");
  EXPECT_THAT(jail.error().message, HasSubstr(folder_.path().string()));
}

class LayerTest : public JailTest, public ::testing::WithParamInterface<int> {};

TEST_P(LayerTest, IsNamedWhenMissingAndRefused) {
  const auto layer = static_cast<sandbox::Layer>(GetParam());
  const std::string name = sandbox::layer_name(layer);
  auto guest = policy({"nothing"});
  guest.disable_for_test = {name};
  std::vector<sandbox::LayerState> states;
  auto jail = sandbox::Jail::start(guest, &states);
  const auto state_of = [&](const std::vector<sandbox::LayerState>& all) {
    for (const sandbox::LayerState& state : all)
      if (state.layer == name) return state.state;
    return std::string();
  };
  EXPECT_EQ(state_of(states), "missing: disabled for a test");
  if (sandbox::layer_required(layer)) {
    ASSERT_FALSE(jail);
    EXPECT_EQ(jail.error().code, "sandbox_unavailable");
    EXPECT_THAT(jail.error().message, HasSubstr(name));
    EXPECT_THAT(jail.error().message, HasSubstr("--allow-degraded"));
  } else {
    ASSERT_TRUE(jail);
    EXPECT_EQ(jail->wait({}).exit_code, 0);
  }
  const Verdict verdict = run_without(policy({"nothing"}), {name});
  EXPECT_EQ(verdict.exit_code, 0) << said_;
  EXPECT_EQ(state_of(verdict.layers), "missing: disabled for a test");
  EXPECT_EQ(sandbox::is_degraded(verdict.layers), sandbox::layer_required(layer));
}

INSTANTIATE_TEST_SUITE_P(Each, LayerTest, ::testing::Range(0, sandbox::kLayerCount),
                         [](const auto& param) {
                           return std::string(
                               sandbox::layer_name(static_cast<sandbox::Layer>(param.param)));
                         });

// Two ends of one connection.
struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    first.reset(ends[0]);
    second.reset(ends[1]);
  }
  UniqueFd first, second;
};

TEST_F(JailTest, CompanionsAreInTheSameJail) {
  const Pair pair;
  auto two = policy({"meet", "7"});
  two.descriptors = {{pair.first.get(), 7}};
  two.companions = {{{pair.second.get(), 7}}};
  const Verdict verdict = run(two);
  EXPECT_EQ(verdict.exit_code, 0) << said_;
  EXPECT_EQ(verdict.process, 0U);
  EXPECT_FALSE(sandbox::is_degraded(verdict.layers));
  // Each of them has the walls of one alone.
  auto open = policy({"open", (folder_ / "secret").string()});
  std::ofstream(folder_ / "secret") << "key";
  open.companions.resize(1);
  EXPECT_EQ(run(open).exit_code, 1);
  auto forks = policy({"fork"});
  forks.companions.resize(1);
  EXPECT_EQ(run(forks).exit_code, 1);
}

TEST_F(JailTest, ACompanionThatFailsEndsTheJail) {
  const Pair pair;  // the test keeps the second end, and says nothing there
  auto two = policy({"meet", "7"});
  two.descriptors = {{pair.first.get(), 7}};
  two.companions = {{{pair.second.get(), 8}}};  // has nothing at 7
  const Verdict verdict = run(two);
  EXPECT_EQ(verdict.process, 1U);
  EXPECT_EQ(verdict.exit_code, 1);
  EXPECT_FALSE(verdict.killed_by);
  EXPECT_LT(verdict.wall_ms, 30'000);  // the deadline is 60 s
}

TEST_F(JailTest, MemoryOfAllCompanionsIsCappedTogether) {
  auto three = policy({"memory_and_sleep", "120"});
  three.companions.resize(2);
  EXPECT_EQ(run(three).killed_by, KilledBy::kMemory);
  EXPECT_EQ(run(policy({"memory", "120"})).exit_code, 0);
}

}  // namespace
}  // namespace bitloop::testing
