#include "harness/journal/git.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

TEST(Git, TranslatesAFullDisk) {
  start_git();
  git_error_set_str(GIT_ERROR_OS, "failed to write: No space left on device");
  EXPECT_EQ(git_error(-1, "writing").code, "disk_full");
  git_error_set_str(GIT_ERROR_OS, "failed to write: Disk quota exceeded");
  EXPECT_EQ(git_error(-1, "writing").code, "disk_full");
  git_error_set_str(GIT_ERROR_ODB, "object is odd");
  const Error error = git_error(-3, "writing a tree");
  EXPECT_EQ(error.code, "journal_failed");
  EXPECT_EQ(error.message, "writing a tree: object is odd (libgit2 error -3)");
}

TEST(Git, ReadsHexadecimalIdsOnly) {
  start_git();
  git_oid id;
  EXPECT_TRUE(from_hex(std::string(40, 'a'), id));
  EXPECT_EQ(to_hex(id), std::string(40, 'a'));
  EXPECT_FALSE(from_hex("", id));
  EXPECT_FALSE(from_hex(std::string(39, 'a'), id));
  EXPECT_FALSE(from_hex(std::string(41, 'a'), id));
  EXPECT_FALSE(from_hex(std::string(40, 'g'), id));
}

TEST(Git, AHalfMadeRepositoryIsMadeAnew) {
  Workspace workspace;
  start_git();
  std::filesystem::create_directories(workspace.path() / "journal.git.new" / "objects");
  ASSERT_TRUE(create_repository(workspace.path() / "journal.git"));
  EXPECT_FALSE(std::filesystem::exists(workspace.path() / "journal.git.new"));
  workspace.expect_fsck_clean();
}

TEST(Git, LeftoversOfAKilledProcessAreRemoved) {
  Workspace workspace;
  start_git();
  const auto path = workspace.path() / "journal.git";
  ASSERT_TRUE(create_repository(path));
  const std::filesystem::path stale[] = {path / "refs/heads/sessions/a.lock", path / "HEAD.lock",
                                         path / "packed-refs.lock",
                                         path / "objects/tmp_object_git2_x"};
  for (const auto& file : stale) std::ofstream(file) << "half";
  ASSERT_TRUE(remove_leftovers(path));
  for (const auto& file : stale) EXPECT_FALSE(std::filesystem::exists(file)) << file;
  EXPECT_TRUE(std::filesystem::exists(path / "HEAD"));
}

}  // namespace
}  // namespace bitloop::journal
