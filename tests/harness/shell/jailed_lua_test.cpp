#include "harness/shell/jailed_lua.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/base/fd.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::shell {
namespace {

using test_support::ScratchFolder;

using testing::HasSubstr;

TEST(JailedLua, HarmlessTextKeepsLinesAndLetters) {
  EXPECT_EQ(harmless_text("a\tb\n– ü █"), "a\tb\n– ü █");
  EXPECT_EQ(harmless_text("\x1b[31m\r\x7f\a"), "?[31m???");
  EXPECT_EQ(harmless_text("\xc2\x9b"
                          "2J\xc2\xa0"),
            "?2J\xc2\xa0");  // CSI as one character
  EXPECT_EQ(harmless_text("\xc2"), "\xc2");
}

TEST(JailedLua, TensorOptions) {
  const auto plain = parse_tensor_option("w=/nowhere/x.npy");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->name, "w");
  EXPECT_EQ(plain->path, "/nowhere/x.npy");
  EXPECT_EQ(plain->tensor, "");
  for (const char* wrong : {"", "w", "=x", "w=", "1w=x", "a b=x", "w.x=x"}) {
    const auto refused = parse_tensor_option(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, "wrong_usage");
    EXPECT_THAT(refused.error().message, HasSubstr("NAME=FILE"));
  }
}

TEST(JailedLua, AFileEndsAtTheLastColonThatLeavesOne) {
  const ScratchFolder folder;
  for (const char* name : {"m", "m:a"}) ASSERT_TRUE(write_file_atomic(folder.path() / name, "x"));
  const auto parse = [&](const std::string& rest) {
    return *parse_tensor_option("w=" + (folder.path() / "m").string() + rest);
  };
  EXPECT_EQ(parse("").tensor, "");
  EXPECT_EQ(parse(":b").tensor, "b");
  EXPECT_EQ(parse(":b:c").tensor, "b:c");
  EXPECT_EQ(parse(":a").tensor, "");  // a file of that name
  EXPECT_EQ(parse(":a:b").tensor, "b");
}

TEST(JailedLua, QuantizersAreFilesOrNames) {
  const ScratchFolder folder;
  ASSERT_TRUE(write_file_atomic(folder.path() / "good.lua", "x"));
  EXPECT_EQ(*find_quantizer("good", folder.path()), folder.path() / "good.lua");
  EXPECT_EQ(*find_quantizer((folder.path() / "good.lua").string(), "/nowhere"),
            folder.path() / "good.lua");
  for (const char* name : {"bad", "../good", "good.lua"})
    EXPECT_FALSE(find_quantizer(name, folder.path())) << name;
}

}  // namespace
}  // namespace bitloop::shell
