#include "harness/journal/workspace_lock.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

TEST(WorkspaceLock, HasOneOwner) {
  Workspace workspace;
  auto first = WorkspaceLock::acquire(workspace.path() / "new" / "folder");
  ASSERT_TRUE(first) << first.error().message;
  auto second = WorkspaceLock::acquire(workspace.path() / "new" / "folder");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "workspace_in_use");
  EXPECT_THAT(second.error().message, testing::HasSubstr(std::to_string(::getpid())));
  first = fail("released", "");
  EXPECT_TRUE(WorkspaceLock::acquire(workspace.path() / "new" / "folder"));
}

TEST(WorkspaceLock, IsFreeAgainWhenItsOwnerIsKilled) {
  Workspace workspace;
  auto pipe = make_pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = WorkspaceLock::acquire(workspace.path());
    (void)write_all(pipe->write.get(), lock ? "y" : "n");
    ::pause();
    ::_exit(0);
  }
  char held = 0;
  ASSERT_EQ(::read(pipe->read.get(), &held, 1), 1);
  EXPECT_EQ(held, 'y');
  EXPECT_EQ(WorkspaceLock::acquire(workspace.path()).error().code, "workspace_in_use");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(WorkspaceLock::acquire(workspace.path()));
}

// As between fork and exec of a run's supervisor.
TEST(WorkspaceLock, WaitsForAChildThatAKilledOwnerHadJustForked) {
  Workspace workspace;
  auto pipe = make_pipe();
  const pid_t owner = ::fork();
  if (owner == 0) {
    auto lock = WorkspaceLock::acquire(workspace.path());
    if (::fork() == 0) {
      (void)write_all(pipe->write.get(), lock ? "y" : "n");
      ::usleep(300'000);
      ::_exit(0);
    }
    ::pause();
    ::_exit(0);
  }
  char held = 0;
  ASSERT_EQ(::read(pipe->read.get(), &held, 1), 1);
  EXPECT_EQ(held, 'y');
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  EXPECT_TRUE(WorkspaceLock::acquire(workspace.path()));
}

TEST(WorkspaceLock, SaysWhyAFolderCannotBeOne) {
  auto lock = WorkspaceLock::acquire("/proc/nothing/here");
  ASSERT_FALSE(lock);
  EXPECT_THAT(lock.error().message, testing::HasSubstr("/proc/nothing/here"));
}

}  // namespace
}  // namespace bitloop::journal
