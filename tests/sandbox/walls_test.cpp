// Defence in depth, measured: for each attempt the layers that stop it, each of them alone. An
// attempt works once all of its walls are taken away (so it is one), fails while any single one of
// them stands, and fails with any one layer missing unless it has a single wall. The table in
// docs/security.md is what this test finds.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <pty.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstring>
#include <map>

#include "harness/base/text.h"
#include "sandbox/landlock.h"
#include "sandbox/namespaces.h"
#include "tests/sandbox/jail_fixture.h"

namespace bitloop::testing {
namespace {

using Layers = std::vector<std::string>;

struct Row {
  const char* does;      // for the table
  const char* attempt;   // of attempts.h
  const char* argument;  // FOLDER, PID, PORT, KEY and HOST stand for what the fixture made
  Layers walls;
  const char* without = "worked";  // what the guest says once the walls are gone, or "worked"
  int landlock_version = 1;        // of the kernel, from which Landlock is one of the walls
};

const Layers kFiles = {"file_system", "landlock"};
const Layers kPrivateFiles = {"user_namespace", "landlock"};
const Layers kCalls = {"seccomp"};

const Row kRows[] = {
    {"read a file that anybody may read", "open", "FOLDER/public", kFiles},
    {"read a file of the host's user", "open", "FOLDER/private", kPrivateFiles},
    {"read another run's output", "open", "FOLDER/other/output/weights", kPrivateFiles},
    {"read the host's environment",
     "open",
     "/proc/PID/environ",
     {"user_namespace", "landlock", "capabilities"}},
    {"read the host's memory by procfs",
     "open",
     "/proc/PID/mem",
     {"user_namespace", "landlock", "capabilities"}},
    {"read the host's memory by system call",
     "read_memory",
     "PID",
     {"user_namespace", "landlock", "capabilities", "seccomp"},
     "worked"},
    {"write the data", "open_to_write", "FOLDER/data/train.bin", kPrivateFiles},
    {"write another run's output", "open_to_write", "FOLDER/other/output/weights", kPrivateFiles},
    {"write /usr", "open_to_write", "/usr/lib/os-release", kPrivateFiles},
    {"write /proc/sys", "open_to_write", "/proc/sys/kernel/core_pattern", kPrivateFiles},
    {"write a control group's files", "open_to_write", "CGROUP", kPrivateFiles},
    {"delete a file of the host", "unlink", "FOLDER/victim", kPrivateFiles},
    {"make a device",
     "mknod",
     "FOLDER/output/memory",
     {"user_namespace", "landlock", "capabilities", "seccomp"}},
    {"execute a program of the host", "execve", "", kFiles, ""},
    {"execute a program that it wrote", "own_program", "output", kFiles},
    {"connect to a port of the host",
     "connect",
     "PORT",
     {"net_namespace", "landlock", "seccomp"},
     "worked",
     4},
    {"connect to an abstract socket",
     "find_abstract_socket",
     "KEY",
     {"net_namespace", "landlock", "seccomp"},
     "worked",
     6},
    {"make an internet socket", "socket_inet", "", kCalls},
    {"make a vsock socket", "socket_vsock", "", kCalls},
    {"attach System V memory of the host",
     "find_shared_memory",
     "KEY",
     {"ipc_namespace", "seccomp"}},
    {"open a message queue of the host",
     "find_posix_queue",
     "KEY",
     {"ipc_namespace", "landlock", "seccomp"}},
    {"signal a process of the host",
     "signal_process",
     "PID",
     {"user_namespace", "landlock", "seccomp"},
     "worked",
     6},
    {"learn the host's name", "host_name", "HOST", {"uts_namespace"}},
    {"use a descriptor that leaked", "leaked_descriptor", "", {"descriptors"}},
    {"type into the terminal", "tiocsti", "", {"user_namespace", "capabilities", "seccomp"}},
    {"fork", "fork", "", kCalls},
    {"60 processes", "many_processes", "60", {"rlimits", "cgroup", "seccomp"}},
    {"60 threads", "many_threads", "60", {"rlimits", "cgroup"}},
    {"hold more memory than allowed", "memory_and_sleep", "400", {"memory", "cgroup"}},
    {"reserve 4 GiB", "reserve", "4096", {"memory"}},
    {"write a file of 64 MiB", "fill_64_mb", "output/big", {"rlimits"}},
    {"dump core", "core_dump", "", {"rlimits"}},
    {"stay past the deadline", "sleep", "1500", {"deadline"}},
    {"ptrace", "ptrace", "", kCalls},
    {"io_uring", "io_uring", "", {"rlimits", "seccomp"}},
    {"memfd_create", "memfd", "", kCalls},
    {"keyctl", "keyctl", "", kCalls},
    {"bpf", "bpf", "", {"user_namespace", "capabilities", "seccomp"}},
    {"userfaultfd", "userfaultfd", "", kCalls},
    {"perf_event_open", "perf", "", {"user_namespace", "capabilities", "seccomp"}},
    {"a new user namespace", "unshare", "", kCalls},
    {"a new user namespace by clone3", "clone3_namespace", "", kCalls},
    {"setns", "setns", "", kCalls, "Invalid argument"},
    {"a 32-bit system call", "int80", "", kCalls},
    {"an x32 system call", "x32", "", kCalls, "Function not implemented"},
    {"prctl(PR_SET_DUMPABLE)", "prctl", "", kCalls},
    {"raise a limit", "setrlimit", "", kCalls},
    {"chdir", "chdir", "", kCalls},
};

// Another run of this test on the machine has another.
const std::string kKey = std::to_string(::getpid());

class WallsTest : public JailTest {
 protected:
  void SetUp() override {
    JailTest::SetUp();
    if (IsSkipped()) return;
    if (::geteuid() != 0) GTEST_SKIP() << "only root can take each of these layers away";
    for (const sandbox::LayerState& layer : sandbox::probe()) {
      if (layer.state == "active") continue;
      GTEST_SKIP() << "this machine has no complete sandbox: " << layer.layer << " is "
                   << layer.state;
    }
    landlock_ = sandbox::landlock_abi();
    for (const char* path : {"data", "other/output"})
      std::filesystem::create_directories(folder_ / path);
    for (const auto& [path, mode] : std::map<const char*, int>{{"public", 0644},
                                                               {"private", 0600},
                                                               {"victim", 0600},
                                                               {"data/train.bin", 0644},
                                                               {"other/output/weights", 0600}}) {
      std::ofstream(folder_ / path) << "text";
      std::filesystem::permissions(folder_ / path, std::filesystem::perms(mode));
    }
    listen();
    leaked_ = ::open("/", O_RDONLY);  // without O_CLOEXEC
    rlimit core{};
    ::getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = core.rlim_max;
    ::setrlimit(RLIMIT_CORE, &core);
    int master = -1, terminal = -1;
    ASSERT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(terminal, F_SETFD, FD_CLOEXEC);
    terminal_ = {UniqueFd(master), UniqueFd(terminal)};
    for (const char* held : {"hold_shared_memory", "hold_posix_queue", "hold_abstract_socket"})
      holders_.push_back(hold(held));
  }

  void TearDown() override {
    for (const pid_t holder : holders_) {
      ::kill(holder, SIGKILL);
      ::waitpid(holder, nullptr, 0);
    }
    for (const char* left : {"remove_shared_memory", "remove_posix_queue"}) {
      if (holders_.empty()) continue;
      EXPECT_EQ(run_free({left, kKey}), 0) << left;
    }
    if (leaked_ >= 0) ::close(leaked_);
  }

  // A process of the host that has what an attempt looks for.
  pid_t hold(const std::string& name) {
    auto said = make_pipe();
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(said->write.get(), 1);
      ::execl(BITLOOP_TEST_GUEST, "guest", name.c_str(), kKey.c_str(), nullptr);
      ::_exit(127);
    }
    said->write.reset();
    char text[64] = {};
    EXPECT_GT(::read(said->read.get(), text, sizeof text - 1), 0);
    EXPECT_THAT(text, ::testing::StartsWith("holding")) << name;
    return child;
  }

  void listen() {
    server_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(server_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(server_.get(), 8), 0);
    socklen_t size = sizeof address;
    ::getsockname(server_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = std::to_string(ntohs(address.sin_port));
  }

  std::string fill(std::string text) const {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    std::string group = "/sys/fs/cgroup/cgroup.procs";
    if (!std::filesystem::exists(group)) group = "/sys/fs/cgroup/memory/release_agent";
    for (const auto& [name, value] :
         std::map<std::string, std::string>{{"FOLDER", folder_.path().string()},
                                            {"PID", std::to_string(::getpid())},
                                            {"PORT", port_},
                                            {"KEY", kKey},
                                            {"HOST", host},
                                            {"CGROUP", group}})
      if (const size_t at = text.find(name); at != std::string::npos)
        text.replace(at, name.size(), value);
    return text;
  }

  sandbox::Verdict attempt_without(const Row& row, const Layers& missing, bool locked = false) {
    std::vector<std::string> arguments = {row.attempt, fill(row.argument)};
    if (locked) arguments.insert(arguments.begin(), "locked");
    sandbox::Policy guest = policy(std::move(arguments));
    guest.descriptors = {{terminal_[1].get(), 0}};
    guest.read_only = {folder_ / "data"};
    if (std::string_view(row.attempt) == "sleep") guest.deadline = std::chrono::milliseconds(300);
    return run_without(guest, {missing.begin(), missing.end()});
  }

  // What it says without its walls may also be the kernel's own refusal of what it was asked.
  bool works(const Row& row, const Layers& missing) {
    const sandbox::Verdict verdict = attempt_without(row, missing);
    const std::string said = said_.empty() ? "" : said_.substr(0, said_.size() - 1);
    return !verdict.signal && (said == row.without || said == "worked");
  }

  std::string ends(const sandbox::Verdict& verdict) const {
    return verdict.signal ? "killed" : said_ == "worked\n" ? "works" : "refused";
  }

  // Whether this kernel can tell about it.
  bool measurable(const Row& row, const std::string& wall) const {
    return wall != "landlock" || landlock_ >= row.landlock_version;
  }

  // Whether these walls are gone without `layer`, which others may need.
  static bool takes_all(const std::string& layer, const Layers& walls) {
    for (const sandbox::LayerState& state : sandbox::LayerSet({layer}).states())
      if (state.state == "active" && std::ranges::find(walls, state.layer) != walls.end())
        return false;
    return true;
  }

  // One line of the table; what does not hold is a failure of the test.
  std::string measure(const Row& row) {
    SCOPED_TRACE(row.does);
    Layers walls = row.walls;
    std::erase_if(walls, [&](const std::string& wall) { return !measurable(row, wall); });
    const std::string plain = ends(attempt_without(row, {}));
    EXPECT_NE(plain, "works");
    for (const std::string& wall : walls) {
      Layers others = row.walls;
      std::erase(others, wall);
      EXPECT_FALSE(works(row, others)) << wall << " alone does not stop it: " << said_;
    }
    Layers holes, expected;
    for (int i = 0; i < sandbox::kLayerCount; ++i) {
      const std::string layer = sandbox::layer_name(static_cast<sandbox::Layer>(i));
      if (works(row, {layer})) holes.push_back(layer);
      if (takes_all(layer, walls)) expected.push_back(layer);
    }
    EXPECT_EQ(holes, expected);
    const std::string locked = ends(attempt_without(row, {}, true));
    EXPECT_TRUE(works(row, row.walls))
        << "it is no attempt: " << said_;  // last: it may do its harm
    return "| " + std::string(row.does) + " | " + plain + " | " + join(row.walls, ", ") + " | " +
           (holes.empty() ? "" : join(holes, ", ")) + " | " + locked + " |\n";
  }

  int landlock_ = 0;
  UniqueFd server_;
  std::string port_;
  int leaked_ = -1;
  std::array<UniqueFd, 2> terminal_;
  std::vector<pid_t> holders_;
};

constexpr const char* kBegin = "<!-- walls: written by this test -->\n";
constexpr const char* kEnd = "<!-- end of walls -->\n";

TEST_F(WallsTest, EachWallHoldsAloneAsTheDocumentSays) {
  std::string table =
      "| attempt | in the jail | each of these layers alone stops it | works when this one is "
      "missing "
      "| after the lock-down |\n|---|---|---|---|---|\n";
  for (const Row& row : kRows) table += measure(row);
  const std::filesystem::path path = std::filesystem::path(BITLOOP_SOURCE_DIR) / "docs/security.md";
  std::string document = read_file(path).value();
  const size_t begin = document.find(kBegin), end = document.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t first = begin + std::strlen(kBegin);
  const std::string written = document.substr(first, end - first);
  if (std::getenv("BITLOOP_WRITE_WALLS") && !HasFailure()) {
    document.replace(first, end - first, table);
    std::ofstream(path) << document;
  } else {
    EXPECT_EQ(written, table) << "write it anew with BITLOOP_WRITE_WALLS=1 in the environment";
  }
}

// What root could do with mounts can't be tried without a namespace of mounts: the control has one,
// and so has a jail without every other wall.
TEST_F(WallsTest, NobodyMountsAnything) {
  for (const char* name : {"mount", "pivot_root"}) {
    const Row row{"", name, "", {}};
    EXPECT_EQ(ends(attempt_without(row, {})), "killed") << name;
    EXPECT_EQ(ends(attempt_without(row, {"seccomp"})), "refused") << name;
    EXPECT_EQ(ends(attempt_without(row, {"seccomp", "landlock", "capabilities"})), "refused");
  }
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      ::_exit(9);
    ::_exit(WEXITSTATUS(run_free({"mount", ""})));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Processes of the machine that belong to the user of this process's jails.
int jailed_processes() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    struct stat info {};
    const std::string name = entry.path().filename();
    if (std::isdigit(name[0]) && ::stat(entry.path().c_str(), &info) == 0)
      count += info.st_uid == sandbox::outer_uid();
  }
  return count;
}

TEST_F(WallsTest, ADaemonLivesOnOnlyWithoutAProcessNamespace) {
  const Row row{"", "daemon", "", {}};
  const auto daemon = [&] {
    const size_t at = said_.find("daemon ");
    return at == std::string::npos ? 0 : std::atoi(said_.c_str() + at + 7);
  };
  attempt_without(row, {});
  EXPECT_EQ(daemon(), 0);  // it could not even fork
  attempt_without(row, {"seccomp"});
  EXPECT_GT(daemon(), 0);
  EXPECT_EQ(jailed_processes(), 0);
  attempt_without(row, {"seccomp", "pid_namespace"});
  EXPECT_EQ(jailed_processes(), 1);
  ASSERT_GT(daemon(), 1);
  EXPECT_EQ(::kill(daemon(), SIGKILL), 0);
}

}  // namespace
}  // namespace bitloop::testing
