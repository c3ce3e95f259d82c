// Two jails at once, of one user: neither finds what the other has, even without a filter of system
// calls; and each thing is found where the wall between them is taken away from both.
#include <gmock/gmock.h>
#include <signal.h>

#include <ostream>

#include "tests/sandbox/jail_fixture.h"

namespace bitloop::testing {
namespace {

// Another run of this test on the machine has another.
const std::string kKey = std::to_string(::getpid());

struct Neighbour {
  const char* thing;
  const char* holds;  // attempts of neighbours.h
  const char* finds;
  const char* removes;            // what a control may leave behind; "" where that is nothing
  std::set<std::string> opened;   // layers without which the one can make it
  std::set<std::string> between;  // and those that hide it from the other
};

void PrintTo(const Neighbour& neighbour, std::ostream* out) { *out << neighbour.thing; }

const Neighbour kNeighbours[] = {
    {"SharedMemory",
     "hold_shared_memory",
     "find_shared_memory",
     "remove_shared_memory",
     {"seccomp"},
     {"ipc_namespace"}},
    {"Semaphores",
     "hold_semaphores",
     "find_semaphores",
     "remove_semaphores",
     {"seccomp"},
     {"ipc_namespace"}},
    {"Messages",
     "hold_messages",
     "find_messages",
     "remove_messages",
     {"seccomp"},
     {"ipc_namespace"}},
    {"PosixQueue",
     "hold_posix_queue",
     "find_posix_queue",
     "remove_posix_queue",
     {"seccomp", "rlimits", "landlock"},
     {"ipc_namespace"}},
    {"AbstractSocket",
     "hold_abstract_socket",
     "find_abstract_socket",
     "",
     {"seccomp"},
     {"net_namespace", "landlock"}},
};

class TwoJails : public JailTest {
 protected:
  // A jail that stays until it is let go, and what its guest said first.
  struct Held {
    std::optional<sandbox::Jail> jail;
    std::string said;
  };

  Held start(sandbox::Policy guest, const std::set<std::string>& missing = {}) {
    Held held;
    auto output = make_pipe();
    guest.descriptors = {{output->write.get(), 1}};
    guest.disable_for_test = missing;
    guest.allow_degraded = true;
    auto jail = sandbox::Jail::start(guest, nullptr);
    if (!jail) {
      ADD_FAILURE() << jail.error().message;
      return held;
    }
    output->write.reset();
    char text[64] = {};
    EXPECT_GT(::read(output->read.get(), text, sizeof text - 1), 0);
    held.said = text;
    held.jail.emplace(std::move(*jail));
    return held;
  }

  // The policy of a second run, with a folder of its own.
  sandbox::Policy second(std::vector<std::string> arguments) {
    std::filesystem::create_directories(folder_ / "second/output");
    sandbox::Policy guest = policy(std::move(arguments));
    guest.output = folder_ / "second/output";
    return guest;
  }
};

class TwoJailsShare : public TwoJails, public ::testing::WithParamInterface<Neighbour> {};

TEST_P(TwoJailsShare, NothingOfThisKind) {
  const Neighbour& neighbour = GetParam();
  // With every layer neither can make it nor look for it.
  EXPECT_EQ(run(policy({neighbour.holds, kKey})).exit_code, 1);
  EXPECT_EQ(run(policy({neighbour.finds, kKey})).exit_code, 1);

  std::set<std::string> missing = neighbour.opened;
  {
    const Held first = start(policy({neighbour.holds, kKey}), missing);
    ASSERT_THAT(first.said, ::testing::StartsWith("holding"));
    EXPECT_EQ(run_without(second({neighbour.finds, kKey}), missing).exit_code, 1) << said_;
  }
  missing.insert(neighbour.between.begin(), neighbour.between.end());
  {
    const Held first = start(policy({neighbour.holds, kKey}), missing);
    ASSERT_THAT(first.said, ::testing::StartsWith("holding"));
    EXPECT_EQ(run_without(second({neighbour.finds, kKey}), missing).exit_code, 0) << said_;
  }
  if (*neighbour.removes) {
    EXPECT_EQ(run_free({neighbour.removes, kKey}), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, TwoJailsShare, ::testing::ValuesIn(kNeighbours),
                         [](const auto& param) { return std::string(param.param.thing); });

TEST_F(TwoJails, FilesOfTheOtherAreNotThere) {
  const std::string secret = (folder_ / "output/secret").string();
  {
    const Held first = start(policy({"hold_file", "output/secret"}));
    ASSERT_THAT(first.said, ::testing::StartsWith("holding"));
    EXPECT_EQ(run(second({"open", secret})).exit_code, 1);
    EXPECT_EQ(run(second({"open", "output/secret"})).exit_code, 1);
    EXPECT_EQ(run_without(second({"open", secret}), {"file_system"}).exit_code, 1);
    EXPECT_EQ(run_without(second({"open", secret}), {"file_system", "landlock"}).exit_code, 0)
        << said_;
  }
  // Each has a /tmp of its own.
  const Held first = start(policy({"hold_file", "/tmp/secret"}));
  ASSERT_THAT(first.said, ::testing::StartsWith("holding"));
  EXPECT_EQ(run(second({"open", "/tmp/secret"})).exit_code, 1);
  EXPECT_EQ(run_without(second({"open", "/tmp/secret"}), {"landlock"}).exit_code, 1);
}

TEST_F(TwoJails, ProcessesOfTheOtherAreNotThere) {
  // Its number inside, and its real one: neither names it to the other.
  const Held first = start(policy({"hold_nothing"}));
  EXPECT_EQ(first.said, "holding 2\n");
  const Held visible = start(second({"hold_nothing"}), {"pid_namespace"});
  const std::string pid = visible.said.substr(8, visible.said.find('\n') - 8);
  ASSERT_GT(std::stoi(pid), 2);
  EXPECT_EQ(::kill(std::stoi(pid), 0), 0);
  for (const char* reach : {"signal_process", "read_memory"}) {
    EXPECT_NE(run(second({reach, pid})).exit_code, 0);
    EXPECT_EQ(run_without(second({reach, pid}), {"seccomp", "landlock"}).exit_code, 1);
    EXPECT_EQ(said_, "No such process\n");
  }
  EXPECT_EQ(run_without(second({"signal_process", pid}), {"seccomp", "landlock", "pid_namespace"})
                .exit_code,
            0)
      << said_;
  // No procfs and no control group's files, in which it could be listed.
  for (const char* path : {"/proc/1", "/proc/self", "/sys/fs/cgroup", "/dev/shm", "/dev/mqueue"})
    EXPECT_EQ(run_without(second({"open", path}), {"landlock"}).exit_code, 1) << path;
}

// What the one does to its limits is not the other's loss.
TEST_F(TwoJails, OnesLimitsAreNotTheOthers) {
  const Held first = start(policy({"hold_nothing"}));
  EXPECT_EQ(run(second({"memory", "600"})).killed_by, sandbox::KilledBy::kMemory);
  EXPECT_EQ(run(second({"many_threads", "60"})).exit_code, 1);
  EXPECT_EQ(run(second({"fill_64_mb", "/tmp/big"})).exit_code, 1);
  const Held third = start(second({"hold_file", "/tmp/mine"}));
  EXPECT_THAT(third.said, ::testing::StartsWith("holding"));
}

}  // namespace
}  // namespace bitloop::testing
