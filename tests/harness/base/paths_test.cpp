#include "harness/base/paths.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace bitloop {
namespace {

TEST(Paths, EverythingIsFoundByThePlaceOfTheProgram) {
  EXPECT_EQ(executable_path().filename(), "base_test");
  EXPECT_TRUE(std::filesystem::exists(executable_path()));
  EXPECT_EQ(program_path("bitloop-trainer"), executable_path().parent_path() / "bitloop-trainer");
  ::unsetenv("BITLOOP_SHARE");
  EXPECT_EQ(share_dir(), executable_path().parent_path().parent_path() / "share/bitloop");
  ::setenv("BITLOOP_SHARE", "/elsewhere", 1);
  EXPECT_EQ(share_dir(), "/elsewhere");
  ::unsetenv("BITLOOP_SHARE");
}

}  // namespace
}  // namespace bitloop
