#include "harness/editor/lua_text.h"

#include <gtest/gtest.h>

namespace bitloop::editor {
namespace {

TEST(LuaText, CommentsAndWhiteSpaceAreNoTokens) {
  const std::string plain = lua_tokens("local a = f(x)\nreturn a\n");
  EXPECT_EQ(plain, "local a = f ( x ) return a");
  EXPECT_EQ(lua_tokens("local a=f( x )  -- why\n\n\treturn   a"), plain);
  EXPECT_EQ(lua_tokens("--[[ long\ncomment ]] local a = f(--[==[ ]] ]==]x)\nreturn a --"), plain);
  EXPECT_EQ(lua_tokens("--[ short after all\nlocal a = f(x) return a"), plain);
  EXPECT_EQ(lua_tokens("--[=not long\nlocal a = f(x) return a"), plain);
  EXPECT_EQ(lua_tokens(" \n-- nothing"), "");
  EXPECT_EQ(lua_tokens(""), "");
}

TEST(LuaText, WhatLooksLikeACommentInAStringIsNone) {
  EXPECT_EQ(lua_tokens("x = '-- no'  -- yes"), "x = '-- no'");
  EXPECT_EQ(lua_tokens(R"(x = "a\" -- no" .. 'b' -- yes)"), R"(x = "a\" -- no" .. 'b')");
  EXPECT_EQ(lua_tokens("x = [[ -- no\n  ]==] ]] -- yes"), "x = [[ -- no\n  ]==] ]]");
  EXPECT_EQ(lua_tokens("x = [==[ ]] -- no ]==]y"), "x = [==[ ]] -- no ]==] y");
  EXPECT_NE(lua_tokens("x = 'a  b'"), lua_tokens("x = 'a b'"));
}

TEST(LuaText, NumbersAndOperatorsStayWhole) {
  EXPECT_EQ(lua_tokens("a=1e-5+0x1p-4*.5"), "a = 1e-5 + 0x1p-4 * .5");
  EXPECT_EQ(lua_tokens("a<=b~=c..d//e"), "a <= b ~= c .. d // e");
  EXPECT_EQ(lua_tokens("a< =b"), "a < = b");
  EXPECT_NE(lua_tokens("a - -b"), lua_tokens("a --b"));
  EXPECT_NE(lua_tokens("x = 12"), lua_tokens("x = 1 2"));
  EXPECT_EQ(lua_tokens("t[i][ [[k]] ]"), "t [ i ] [ [[k]] ]");
  EXPECT_EQ(lua_tokens("f(...)"), "f ( ... )");
}

TEST(LuaText, WhatIsNotClosedIsKept) {
  EXPECT_EQ(lua_tokens("x = 'a\ny"), "x = 'a y");
  EXPECT_EQ(lua_tokens("x --[[ y"), "x --[[ y");
  EXPECT_EQ(lua_tokens("x = [[ y"), "x = [[ y");
  EXPECT_EQ(lua_tokens("x = '\\"), "x = '\\");
}

}  // namespace
}  // namespace bitloop::editor
