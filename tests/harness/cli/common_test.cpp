#include "harness/cli/common.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/scratch_folder.h"

namespace bitloop::cli {
namespace {

TEST(ExitCode, TellsWrongUsageFromAMachineThatCannot) {
  EXPECT_EQ(exit_code_of({"file_not_found", ""}), kWrongUsage);
  EXPECT_EQ(exit_code_of({"unknown_preset", ""}), kWrongUsage);
  EXPECT_EQ(exit_code_of({"bad_value", ""}), kWrongUsage);
  EXPECT_EQ(exit_code_of({"workspace_in_use", ""}), kMachineCannot);
  EXPECT_EQ(exit_code_of({"disk_full", ""}), kMachineCannot);
  EXPECT_EQ(exit_code_of({"sandbox_missing", ""}), kMachineCannot);
}

TEST(DefaultWorkspace, FollowsTheEnvironment) {
  ::setenv("BITLOOP_WORKSPACE", "/somewhere", 1);
  EXPECT_EQ(default_workspace(), "/somewhere");
  EXPECT_EQ(choose_workspace(""), "/somewhere");
  EXPECT_EQ(choose_workspace("given"), "given");
  ::unsetenv("BITLOOP_WORKSPACE");
  const auto before = std::filesystem::current_path();
  const test_support::ScratchFolder folder;
  std::filesystem::current_path(folder.path());
  ::setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(default_workspace(), "/data/bitloop");
  ::setenv("XDG_DATA_HOME", "relative is ignored", 1);
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(default_workspace(), "/home/me/.local/share/bitloop");
  std::filesystem::create_directory("results");
  EXPECT_EQ(default_workspace(), "results");
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace bitloop::cli
