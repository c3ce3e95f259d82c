#include "harness/base/temporary_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/scratch_folder.h"

namespace bitloop {
namespace {

namespace fs = std::filesystem;

int count(const fs::path& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(TemporaryFolder, GoesAwayWithItsContent) {
  const test_support::ScratchFolder parent;
  fs::path path;
  {
    auto folder = TemporaryFolder::make(parent / "made/too", "work-");
    ASSERT_TRUE(folder) << folder.error().message;
    path = folder->path();
    EXPECT_TRUE(path.filename().string().starts_with("work-"));
    EXPECT_EQ(path.parent_path(), parent / "made/too");
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
    fs::create_directories(path / "a/b");
    std::ofstream(path / "a/b/c") << "x";
    fs::create_directory_symlink(parent.path(), path / "link");
    const TemporaryFolder moved = std::move(*folder);
    EXPECT_EQ(moved.path(), path);
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(parent / "made/too"));  // a link in it was not followed
}

TEST(TemporaryFolder, SaysWhyThereIsNone) {
  EXPECT_FALSE(TemporaryFolder::make("/dev/null", "x-"));
  EXPECT_FALSE(TemporaryFolder::make("/proc/nothing/here", "x-"));
}

TEST(TemporaryFolder, OnlyThoseOfDeadProcessesAreAbandoned) {
  const test_support::ScratchFolder parent;
  auto pipe = make_pipe().value();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto folder = TemporaryFolder::make(parent.path(), "work-");
    (void)write_all(pipe.write.get(), folder->path().string() + "\n");
    ::pause();
    ::_exit(0);
  }
  std::string theirs(4096, '\0');
  theirs.resize(static_cast<size_t>(::read(pipe.read.get(), theirs.data(), theirs.size())));
  theirs.pop_back();
  const auto ours = TemporaryFolder::make(parent.path(), "work-");
  fs::create_directory(parent / "other");
  fs::create_directory_symlink(parent / "other", parent / "work-link");

  TemporaryFolder::remove_abandoned(parent.path(), "work-");
  EXPECT_TRUE(fs::exists(theirs));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  TemporaryFolder::remove_abandoned(parent.path(), "work-", [&](const fs::path& path) {
    EXPECT_EQ(path, theirs);
    return true;  // still in use by somebody else
  });
  EXPECT_TRUE(fs::exists(theirs));
  TemporaryFolder::remove_abandoned(parent.path(), "work-");
  EXPECT_FALSE(fs::exists(theirs));
  EXPECT_TRUE(fs::exists(ours->path()));
  EXPECT_TRUE(fs::exists(parent / "other"));
  EXPECT_TRUE(fs::is_symlink(parent / "work-link"));
  TemporaryFolder::remove_abandoned(parent / "nowhere", "work-");
}

// One that was just made but not yet locked looks abandoned; its maker then makes another.
TEST(TemporaryFolder, SurvivesThoseWhoTidyUp) {
  const test_support::ScratchFolder parent;
  std::atomic<bool> done{false};
  std::jthread tidy([&] {
    while (!done) TemporaryFolder::remove_abandoned(parent.path(), "work-");
  });
  {
    std::vector<TemporaryFolder> folders;
    for (int i = 0; i < 300; ++i)
      folders.push_back(TemporaryFolder::make(parent.path(), "work-").value());
    EXPECT_EQ(count(parent.path()), 300);
    for (const auto& folder : folders) EXPECT_TRUE(fs::exists(folder.path()));
  }
  done = true;
}

}  // namespace
}  // namespace bitloop
