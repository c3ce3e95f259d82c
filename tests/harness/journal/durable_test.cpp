#include "harness/journal/durable.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

TEST(SyncTogether, TakesFilesAndFoldersAndPassesOverWhatIsMissing) {
  Workspace workspace;
  std::ofstream(workspace.path() / "a") << "a";
  EXPECT_TRUE(sync_together({workspace.path() / "a", workspace.path() / "gone", workspace.path()}));
  EXPECT_TRUE(sync_together({}));
  EXPECT_FALSE(sync_together({workspace.path() / "a" / "b"}));
}

TEST(LockedFile, ReplacesAFile) {
  Workspace workspace;
  const auto path = workspace.path() / "ref";
  std::ofstream(path) << "old";
  {
    auto file = LockedFile::take(path);
    ASSERT_TRUE(file);
    EXPECT_EQ(LockedFile::take(path).error().code, "locked");
    ASSERT_TRUE(file->write("new"));
    EXPECT_EQ(read_file(path).value(), "old");
    ASSERT_TRUE(file->publish());
  }
  EXPECT_EQ(read_file(path).value(), "new");
  EXPECT_FALSE(std::filesystem::exists(workspace.path() / "ref.lock"));
}

TEST(LockedFile, IsGoneWhenNotPublished) {
  Workspace workspace;
  const auto path = workspace.path() / "ref";
  ASSERT_TRUE(LockedFile::take(path)->write("half"));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(workspace.path() / "ref.lock"));
  EXPECT_EQ(LockedFile::take("/nowhere/ref").error().code, "file_not_found");
}

}  // namespace
}  // namespace bitloop::journal
