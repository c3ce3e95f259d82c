#include "trainer/shell/evaluator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "harness/base/fd.h"

namespace bitloop::trainer::shell {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Source shipped(const std::string& name) {
  const auto text =
      read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers" / (name + ".lua"));
  EXPECT_TRUE(text) << name;
  return {name + ".lua", text ? *text : ""};
}

// A shell whose output is gathered.
struct Shell {
  explicit Shell(size_t lua_bytes = 16u << 20) {
    Evaluator::Setup setup;
    setup.chunk_name = "lua";
    setup.zoo = {{"ternary", shipped("ternary")}, {"lsq", shipped("lsq")}};
    setup.globals = {{"mine", at::arange(4, at::kFloat).view({2, 2}), {}}};
    setup.limits.lua_bytes = lua_bytes;
    setup.limits.instructions = 5'000'000;
    setup.limits.tensor_bytes = 64u << 20;
    setup.output = [this](std::string_view text) { printed += text; };
    setup.read_source = [this]() -> Result<Source> { return file; };
    evaluator = std::make_unique<Evaluator>(std::move(setup));
  }
  // What the chunk printed, or its error's message.
  std::string operator()(std::string_view code) {
    printed.clear();
    answer = evaluator->evaluate(code, 1, false);
    return answer.error.code.empty() ? printed : answer.error.message;
  }

  Source file = shipped("ternary");
  std::string printed;
  Answer answer;
  std::unique_ptr<Evaluator> evaluator;
};

TEST(ShellEvaluator, ValuesArePrintedAndGlobalsStay) {
  Shell lua;
  EXPECT_EQ(lua("1 + 1, nil, 'x'"), "2\tnil\tx\n");
  EXPECT_EQ(lua("a = mine * 2"), "");
  EXPECT_EQ(lua("a"), "[[0, 2],\n [4, 6]]\nTensor(2, 2)\n");
  EXPECT_EQ(lua("{1, {x = a}, [7] = 'seven'}"), "{1, {x = Tensor(2, 2)}, [7] = \"seven\"}\n");
}

TEST(ShellEvaluator, UnfinishedChunksAskForMore) {
  Shell lua;
  for (const char* code : {"for i = 1, 2 do", "f(", "x = [[", "if a then b()"})
    EXPECT_TRUE(lua.evaluator->evaluate(code, 1, true).incomplete) << code;
  for (const char* code : {"x = = 1", "end"})
    EXPECT_FALSE(lua.evaluator->evaluate(code, 1, true).incomplete) << code;
  EXPECT_THAT(lua("for i = 1, 2 do"), StartsWith("lua:1: "));
}

TEST(ShellEvaluator, ErrorsNameTheLine) {
  Shell lua;
  EXPECT_EQ(lua("local a = 1\nerror('no')"), "lua:2: no");
  EXPECT_EQ(lua.evaluator->evaluate("error('no')", 17, false).error.message, "lua:17: no");
  EXPECT_THAT(
      lua("os.exit()"),
      HasSubstr("lua:1: attempt to index a nil value (global 'os'); there is no operating"));
}

TEST(ShellEvaluator, FailuresInsideAQuantizerNameItsOwnLine) {
  Shell lua;
  const Source bad{
      "bad.lua",
      "local Q = {levels = {-1, 1}}\nfunction Q.weight_quant(w)\n  return w:no()\nend\nreturn Q"};
  ASSERT_TRUE(lua.evaluator->load(bad));
  EXPECT_THAT(lua("quantize(w)"),
              StartsWith("lua:1: quantize: bad.lua:3: a Tensor has no method 'no'"));
  EXPECT_THAT(lua("Q.weight_quant(w)"), StartsWith("bad.lua:3: a Tensor has no method 'no'"));
}

TEST(ShellEvaluator, AFileThatDoesNotLoadLeavesQ) {
  Shell lua;
  ASSERT_TRUE(lua.evaluator->load(lua.file));
  const Status loaded = lua.evaluator->load({"broken.lua", "return 5"});
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, StartsWith("broken.lua: the file must end with `return Q`"));
  EXPECT_EQ(lua("Q.name"), "ternary\n");
}

TEST(ShellEvaluator, ReloadTakesTheFileAsItIsNow) {
  Shell lua;
  EXPECT_EQ(lua("reload() return Q.name"), "ternary\n");
  lua.file = shipped("lsq");
  EXPECT_EQ(lua("reload() return Q.name, quantize(w).bits_per_weight < 3"), "lsq\ttrue\n");
}

TEST(ShellEvaluator, AFullLuaMemoryCostsTheVariables) {
  Shell lua(4u << 20);
  ASSERT_TRUE(lua.evaluator->load(lua.file));
  lua("kept = 1");
  EXPECT_THAT(lua("local t = {} while true do t[#t + 1] = {} end"),
              HasSubstr("Lua needs more than its 4 MiB"));
  EXPECT_FALSE(lua.answer.lost);
  EXPECT_EQ(lua("kept"), "1\n");
  lua("t = {} while true do t[#t + 1] = {} end");
  EXPECT_TRUE(lua.answer.lost);
  EXPECT_EQ(lua("kept, Q.name, quantize(w).zero_share > 0"), "nil\tternary\ttrue\n");
}

bool stop = false;
TEST(ShellEvaluator, AnInterruptCannotBeCaught) {
  Shell lua;
  lua::Guest::interrupted = [] { return stop; };
  stop = true;
  lua("while true do pcall(function() while true do end end) end");
  EXPECT_EQ(lua.answer.error.code, "interrupted");
  stop = false;
  EXPECT_EQ(lua("1"), "1\n");
  lua::Guest::interrupted = nullptr;
}

TEST(ShellEvaluator, Completion) {
  Shell lua;
  ASSERT_TRUE(lua.evaluator->load(lua.file));
  lua("t = {field = {deep = 1}, [1] = 2, ['not a name'] = 3}");
  const auto complete = [&](const char* text) { return lua.evaluator->complete(text); };
  EXPECT_THAT(complete("print(quantize_a"), ElementsAre("quantize_activation"));
  EXPECT_THAT(complete("t."), ElementsAre("t.field"));
  EXPECT_THAT(complete("x = t.field.d"), ElementsAre("t.field.deep"));
  EXPECT_THAT(complete("torch.randn"), ElementsAre("torch.randn", "torch.randn_like"));
  EXPECT_THAT(complete("torch."), Contains("torch.clamp"));
  EXPECT_THAT(complete("mine:cl"), Contains("mine:clamp"));
  EXPECT_THAT(complete("Q.we"), ElementsAre("Q.weight_quant"));
  EXPECT_THAT(complete("string.up"), ElementsAre("string.upper"));
  EXPECT_THAT(complete("use(\"l"), Contains("lsq"));
  EXPECT_THAT(complete("whi"), ElementsAre("while"));
  EXPECT_THAT(complete("nothing.at.all"), ElementsAre());
  EXPECT_THAT(complete("t."), Not(Contains("t.not a name")));
}

TEST(ShellEvaluator, QuantizeTakesZerosAndRefusesEmptyTensors) {
  Shell lua;
  ASSERT_TRUE(lua.evaluator->load(lua.file));
  EXPECT_THAT(lua("quantize(torch.zeros(4, 4))"), HasSubstr("error            0 of the norm"));
  EXPECT_THAT(lua("quantize(torch.zeros(0, 4))"),
              HasSubstr("needs a Tensor (N, K) with numbers in it"));
  EXPECT_THAT(lua("quantize(torch.zeros(4))"), HasSubstr("got one of shape (4)"));
  EXPECT_THAT(lua("quantize(5)"), HasSubstr("quantize: needs a Tensor (N, K), got the number 5"));
  EXPECT_THAT(lua("quantize(torch.full({2, 2}, 0 / 0))"), HasSubstr("layer shell is not finite"));
}

}  // namespace
}  // namespace bitloop::trainer::shell
