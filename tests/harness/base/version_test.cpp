#include "harness/base/version.h"

#include <gtest/gtest.h>

#include <regex>
#include <string>

namespace bitloop {
namespace {

TEST(Version, HasThreeNumbersAndTheCommit) {
  EXPECT_TRUE(std::regex_match(version(), std::regex(R"(\d+\.\d+\.\d+)"))) << version();
  EXPECT_TRUE(std::regex_match(git_hash(), std::regex("[0-9a-f]{12}|unknown"))) << git_hash();
}

}  // namespace
}  // namespace bitloop
