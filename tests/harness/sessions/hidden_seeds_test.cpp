#include "harness/sessions/hidden_seeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "tests/support/scratch_folder.h"

namespace bitloop::sessions {
namespace {

using testing::HasSubstr;

TEST(VerificationSecret, IsMadeOnceAndForItsOwnerAlone) {
  const test_support::ScratchFolder workspace;
  const auto secret = verification_secret(workspace.path());
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(secret->size(), 64u);
  EXPECT_EQ(verification_secret(workspace.path()).value(), *secret);
  struct stat status {};
  ASSERT_EQ(::stat((workspace / "verification.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(workspace.path()), {}), 1);
  const test_support::ScratchFolder other;
  EXPECT_NE(verification_secret(other.path()).value(), *secret);
}

TEST(VerificationSecret, IsNotReplacedWhenItIsBroken) {
  const test_support::ScratchFolder workspace;
  for (const char* text :
       {"", "short\n", "zz23456789012345678901234567890123456789012345678901234567890123\n"}) {
    std::ofstream(workspace / "verification.key", std::ios::trunc) << text;
    const auto secret = verification_secret(workspace.path());
    ASSERT_FALSE(secret) << text;
    EXPECT_EQ(secret.error().code, "bad_secret");
    EXPECT_THAT(secret.error().message, HasSubstr("verification.key"));
  }
}

TEST(HiddenSeeds, AreThoseOfSecretAndCommit) {
  const std::string secret(64, 'a'), commit(40, 'b');
  const auto seeds = hidden_seeds(secret, commit, 42, 5);
  EXPECT_EQ(seeds.size(), 5u);
  EXPECT_EQ(std::set<int64_t>(seeds.begin(), seeds.end()).size(), 5u);
  for (const int64_t seed : seeds) {
    EXPECT_GE(seed, 0);
    EXPECT_LT(seed, int64_t{1} << 31);
  }
  // More begin with the fewer, so that a verification is widened and not done anew.
  const auto more = hidden_seeds(secret, commit, 42, 7);
  EXPECT_TRUE(std::equal(seeds.begin(), seeds.end(), more.begin()));
  EXPECT_NE(hidden_seeds(std::string(64, 'c'), commit, 42, 5), seeds);
  EXPECT_NE(hidden_seeds(secret, std::string(40, 'd'), 42, 5), seeds);
}

TEST(HiddenSeeds, NeverTheOneThatIsKnown) {
  const std::string secret(64, 'a'), commit(40, 'b');
  const auto seeds = hidden_seeds(secret, commit, 42, 3);
  const auto without = hidden_seeds(secret, commit, seeds[0], 2);
  EXPECT_THAT(without, testing::ElementsAre(seeds[1], seeds[2]));
}

}  // namespace
}  // namespace bitloop::sessions
