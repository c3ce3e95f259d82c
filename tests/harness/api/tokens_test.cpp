#include "harness/api/tokens.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::api {
namespace {

class TokensTest : public ::testing::Test {
 protected:
  std::filesystem::path workspace() { return folder_ / "workspace"; }

  test_support::ScratchFolder folder_;
  TokenFile file_{workspace()};
};

TEST_F(TokensTest, ATokenIsKeptAsItsHash) {
  EXPECT_FALSE(file_.read()->has_value());
  const std::string token = *file_.add("ada", Role::kAgent);
  EXPECT_EQ(token.size(), 3 + 64u);
  EXPECT_TRUE(token.starts_with("bl_"));
  EXPECT_NE(token, *file_.add("bob", Role::kReviewer));
  const std::string text = *read_file(file_.path());
  EXPECT_EQ(text.find(token.substr(3)), std::string::npos);
  Sha256 hash;
  hash.add(token);
  const auto tokens = **file_.read();
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].digest, hash.finish());
  EXPECT_EQ(tokens[1].role, Role::kReviewer);
  struct stat status {};
  ASSERT_EQ(::stat(file_.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(TokensTest, NamesAreChecked) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a\n"),
                                  std::string("\xc3\xa9"), std::string(65, 'a')})
    EXPECT_EQ(file_.add(name, Role::kAgent).error().code, "bad_value") << name;
  EXPECT_TRUE(file_.add(std::string(64, 'a'), Role::kAgent));
  EXPECT_TRUE(file_.add("A.b_c-9", Role::kAgent));
  EXPECT_EQ(file_.add("A.b_c-9", Role::kAgent).error().code, "bad_value");
  EXPECT_EQ(file_.remove("nobody").error().code, "bad_value");
  EXPECT_EQ(parse_role("king").error().code, "bad_value");
}

TEST_F(TokensTest, AFileThatIsNoneIsLeftAlone) {
  std::filesystem::create_directories(workspace());
  for (const char* text : {"{", "[]", R"({"tokens":[{}]})",
                           R"({"tokens":[{"name":"a","role":"king","created":"","sha256":""}]})"}) {
    ASSERT_TRUE(write_file_atomic(file_.path(), text));
    EXPECT_FALSE(file_.add("ada", Role::kAgent)) << text;
    EXPECT_EQ(*read_file(file_.path()), text);
    EXPECT_TRUE(TokenWatch(workspace()).needed()) << text;
  }
}

TEST_F(TokensTest, AWatchFollowsTheFile) {
  TokenWatch watch(workspace());
  EXPECT_FALSE(watch.needed());
  const std::string token = *file_.add("ada", Role::kAgent);
  EXPECT_TRUE(watch.needed());
  const auto caller = watch.find(token);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->name, "ada");
  EXPECT_FALSE(watch.find(token + "0"));
  EXPECT_FALSE(watch.find(""));
  EXPECT_FALSE(watch.find(caller->digest));  // who has read the file has no token
  EXPECT_EQ(*file_.remove("ada"), 0u);
  EXPECT_FALSE(watch.find(token));
  EXPECT_FALSE(watch.still_valid(*caller));
  const std::string second = *file_.add("ada", Role::kAgent);
  EXPECT_FALSE(watch.find(token));
  EXPECT_FALSE(watch.still_valid(*caller));  // the same name, another token
  EXPECT_TRUE(watch.find(second));
}

TEST_F(TokensTest, AServerThatHadTokensNeverOpens) {
  TokenWatch watch(workspace());
  const std::string token = *file_.add("ada", Role::kAgent);
  EXPECT_TRUE(watch.find(token));
  std::filesystem::remove(file_.path());
  EXPECT_TRUE(watch.needed());
  EXPECT_FALSE(watch.find(token));
  EXPECT_FALSE(TokenWatch(workspace()).needed());  // the next one may
}

}  // namespace
}  // namespace bitloop::api
