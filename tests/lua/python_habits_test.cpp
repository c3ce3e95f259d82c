#include "lua/runtime/python_habits.h"

#include <gtest/gtest.h>

#include "lua/quantizer/quantizer.h"

namespace bitloop::lua {
namespace {

std::string constant(const std::string& source) { return python_constant(source, "q.lua"); }

TEST(PythonHabits, ConstantsOfPythonAreNamedWithTheirLine) {
  EXPECT_EQ(constant("local x = 1\nlocal s = w:mean{dim = -1, keepdim = True}"),
            "q.lua:2: there is no True in Lua: write true");
  EXPECT_EQ(constant("if x == False then end"), "q.lua:1: there is no False in Lua: write false");
  EXPECT_EQ(constant("return None"), "q.lua:1: there is no None in Lua: write nil");
}

TEST(PythonHabits, WhatOnlyLooksLikeThemIsLeftAlone) {
  for (const char* source :
       {"-- True", "--[[ True\nFalse ]] x = 1", "x = 'True' .. \"None\" .. [==[ False ]==]",
        "x.True = 1", "y = x.None", "local t = {True = 1}", "True = true; x = True",
        "Trueness = 1; x = Trueness", "x = 'it\\'s True'", "-- [[ x\n", ""})
    EXPECT_EQ(constant(source), "") << source;
}

std::string load(const std::string& body) {
  const auto loaded = Quantizer::load("local Q = {levels = {-1, 1}}\nfunction Q.weight_quant(w)\n" +
                                          body + "\nend\nreturn Q",
                                      "q.lua", {});
  return loaded ? "loaded" : loaded.error().message;
}

TEST(PythonHabits, TheParsersMessageSaysWhatToWrite) {
  const auto has = [](const std::string& message, const char* part) {
    return message.find(part) != std::string::npos && message.starts_with("q.lua:3: ");
  };
  EXPECT_TRUE(has(load("return w.mean(axis=1)"), "in braces: x:mean{dim = -1, keepdim = true}"))
      << load("return w.mean(axis=1)");
  EXPECT_TRUE(has(load("return w ** 2"), "a power is x ^ y")) << load("return w ** 2");
  EXPECT_TRUE(has(load("if w != 0 then return w end"), "x:ne(y) for tensors"))
      << load("if w != 0 then return w end");
  EXPECT_TRUE(has(load("local x = 1\n# comment").replace(6, 1, "3"), "a comment begins with --"))
      << load("local x = 1\n# comment");
  EXPECT_TRUE(has(load("w += 1"), "write x = x + y")) << load("w += 1");
  EXPECT_TRUE(has(load("return w:mean{dim = 1, keepdim = True}"), "write true"));
}

}  // namespace
}  // namespace bitloop::lua
