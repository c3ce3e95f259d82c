// Attempts to leave the guest, stop it or confuse it, each with the outcome it must have. Sections
// as in the list of attempts that the project keeps: A the system, B code loading, C time, D
// memory, E types.
#include <fmt/format.h>

#include <string>

#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Limits quick_limits() {
  Limits limits = small_limits();
  limits.load_seconds = 0.3;
  limits.call_seconds = 0.3;
  limits.instructions = 2'000'000;
  return limits;
}

// The outcome of a source whose top level is the attempt.
Error load_error(std::string_view source) {
  const auto quantizer = load(source, quick_limits());
  return quantizer ? Error{} : quantizer.error();
}

// ---- A. Reaching the system

TEST(AttackTest, NothingOfTheSystemExists) {
  for (const char* name : {"os",
                           "io",
                           "require",
                           "package",
                           "dofile",
                           "loadfile",
                           "load",
                           "loadstring",
                           "debug",
                           "coroutine",
                           "setmetatable",
                           "getmetatable",
                           "rawget",
                           "rawset",
                           "rawequal",
                           "rawlen",
                           "next",
                           "xpcall",
                           "collectgarbage",
                           "print",
                           "warn",
                           "_G",
                           "utf8",
                           "bit32",
                           "jit",
                           "ffi",
                           "newproxy",
                           "string.dump",
                           "string.find",
                           "string.match",
                           "string.gmatch",
                           "string.gsub",
                           "string.pack",
                           "string.unpack",
                           "string.packsize",
                           "math.random",
                           "math.randomseed",
                           "table.move",
                           "('').find",
                           "('').dump",
                           "('').gsub",
                           "('').pack"}) {
    const auto quantizer = load(fmt::format("assert(({}) == nil, 'exists') return {{}}", name));
    EXPECT_TRUE(quantizer) << name << ": " << (quantizer ? "" : quantizer.error().message);
  }
}

TEST(AttackTest, CallsToTheSystemAreErrors) {
  for (const char* source :
       {"os.execute('touch /tmp/pwn')", "io.open('/etc/passwd', 'rb')", "io.popen('id')",
        "package.loadlib('/usr/lib/x86_64-linux-gnu/liblua5.4.so.0', 'luaopen_io')()",
        "loadfile('/etc/passwd')", "dofile('/etc/passwd')", "return debug.getregistry()[1]",
        "debug.setupvalue(pcall, 1, 1)", "require('ffi').C.system('id')", "return os.clock()",
        "return torch.load('/etc/passwd')", "return torch.save('/tmp/x')"}) {
    const Error error = load_error(source);
    EXPECT_EQ(error.code, "script_error") << source;
    EXPECT_THAT(error.message, StartsWith("candidate.lua:1: ")) << source;
  }
}

// ---- B. Code loading

TEST(AttackTest, BinaryChunksAreRefused) {
  EXPECT_THAT(load_error("\x1bLua\x54\x00\x19\x93\r\n\x1a\n").message, HasSubstr("binary chunk"));
  std::string chunk("\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08", 15);
  for (int i = 0; i < 400; ++i) {
    chunk.push_back(static_cast<char>(i * 37));
    EXPECT_EQ(load_error(chunk).code, "script_error");
  }
}

TEST(AttackTest, HugeAndNestedSourcesAreErrors) {
  EXPECT_THAT(load_error(std::string(10 << 20, ' ')).message, HasSubstr("more than the 32 KiB"));
  EXPECT_EQ(load_error("return " + std::string(100'000, '(')).code, "script_error");
  EXPECT_EQ(load_error("return " + std::string(100'000, '{')).code, "script_error");
  std::string blocks;
  for (int i = 0; i < 20'000; ++i) blocks += "do ";
  EXPECT_EQ(load_error(blocks).code, "script_error");
  std::string concat = "return ''";
  for (int i = 0; i < 50'000; ++i) concat += "..''";
  EXPECT_EQ(load_error(concat).code, "script_error");
  std::string locals;
  for (int i = 0; i < 300; ++i) locals += fmt::format("local a{} = 1 ", i);
  EXPECT_THAT(load_error(locals + "return {}").message, HasSubstr("too many local variables"));
  std::string outer, inner;
  for (int i = 0; i < 150; ++i) outer += fmt::format("local a{} = {} ", i, i);
  outer += "local function f() ";
  for (int i = 0; i < 150; ++i) outer += fmt::format("local b{} = {} ", i, i);
  outer += "return function() return 0";
  for (int i = 0; i < 150; ++i) outer += fmt::format("+a{}+b{}", i, i);
  EXPECT_THAT(load_error(outer + " end end return {}").message, HasSubstr("too many upvalues"));
  std::string constants = "local t = {";
  for (int i = 0; i < 4'000; ++i) constants += fmt::format("{}.5,", i);
  EXPECT_EQ(load_error(constants + "} return {}").code, "");
}

TEST(AttackTest, KnownParserFaultsAreHarmless) {
  EXPECT_EQ(load_error("local _ENV <const> = 1; X = X").code, "script_error");
  EXPECT_EQ(
      load_error("for _ in next, {}, nil, setmetatable({}, {__close = print}) do break end").code,
      "script_error");
  EXPECT_EQ(load_error("local x <close> = {} return {}").code, "script_error");
  EXPECT_EQ(load_error("goto nowhere").code, "script_error");
}

// ---- C. Time

class TimeAttack : public ::testing::TestWithParam<const char*> {};

TEST_P(TimeAttack, EndsAsTimeout) {
  Error error = body_error(GetParam(), quick_limits());
  EXPECT_EQ(error.code, "timeout") << error.message;
  EXPECT_THAT(error.message,
              ::testing::ContainsRegex("^candidate.lua:.*(took more than|more than 2000000 instr)"));
  error = load_error(GetParam());
  EXPECT_EQ(error.code, "timeout") << error.message;
}

INSTANTIATE_TEST_SUITE_P(
    All, TimeAttack,
    ::testing::Values(
        "while true do end", "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) end while true do f() end",
        "local function f(n) if n == 0 then while true do end end pcall(f, n - 1) while true do "
        "end end f(150)",
        "while true do pcall(pcall, pcall, error) end", "repeat until pcall(error)",
        "table.sort({1, 2, 3}, function() while true do end end)",
        "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t, function() return "
        "true end) end",
        "while true do tostring(torch.zeros(1)) end", "while true do pcall(torch.zeros, -1) end",
        "local s = ('x'):rep(2e6) while true do local t = s .. s end",
        "local t = {} for i = 1, 1e4 do t[i] = 'x' end while true do table.concat(t) end",
        "local x = torch.ones(1000, 1000) while true do pcall(x.matmul, x, x) end",
        "goto top ::top:: goto top", "while true do for _ in pairs({1, 2}) do end end",
        "local t = {} while true do table.insert(t, 1, 1) end",
        "local f = bitloop.autograd{forward = function(x) while true do end end, backward = "
        "function() end} f(1)"));

TEST(AttackTest, ACallAfterATimeoutWorks) {
  const auto quantizer = load(with_body("while ctx.step == 0 do end return w, 1"), quick_limits());
  EXPECT_EQ((*quantizer)->weight_quant(at::ones({1, 1}), Context{}).error().code, "timeout");
  EXPECT_TRUE((*quantizer)->weight_quant(at::ones({1, 1}), Context{1, 2}));
}

TEST(AttackTest, InconsistentComparatorsEnd) {
  EXPECT_EQ(body_error("local t = {} for i = 1, 999 do t[i] = i % 7 end table.sort(t, function() "
                       "return true end) "
                       "table.sort(t, function(a, b) return a <= b end) return w, 1")
                .code,
            "");
}

// ---- D. Memory

class MemoryAttack : public ::testing::TestWithParam<const char*> {};

TEST_P(MemoryAttack, EndsAsOutOfMemory) {
  const Error error = body_error(GetParam());
  EXPECT_EQ(error.code, "out_of_memory") << error.message;
  EXPECT_THAT(error.message, StartsWith("candidate.lua:"));
}

INSTANTIATE_TEST_SUITE_P(
    All, MemoryAttack,
    ::testing::Values(
        "return string.rep('x', 1 << 40)", "return ('x'):rep(1 << 62, 'y')",
        "pcall(string.rep, 'x', 1 << 40) return w, 1", "local s = 'x' while true do s = s .. s end",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
        "local t = {} for i = 1, 1e9 do t[i] = {} end", "torch.zeros(1 << 20, 1 << 20)",
        "pcall(torch.zeros, 1 << 20, 1 << 20) return w, 1", "torch.zeros(1 << 40, 1 << 40)",
        "torch.full({1 << 60, 1 << 60}, 1)", "torch.eye(1 << 31)", "torch.arange(1e15)",
        "torch.linspace(0, 1, 1 << 40)", "w:tile(1 << 30, 1 << 30)", "w:repeat_interleave(1 << 40)",
        "torch.outer(torch.ones(10000), torch.ones(10000))",
        "return torch.ones(10000, 1) * torch.ones(1, 10000), 1",
        "torch.ones(10000, 1):maximum(torch.ones(1, 10000))",
        "torch.ones(10000, 1):matmul(torch.ones(1, 10000))",
        "torch.ones(1):expand(1 << 30):contiguous()", "torch.ones(1):expand(1 << 30):clone()",
        "return torch.ones(1):expand(1 << 30) * 2, 1", "return -torch.ones(1):expand(1 << 30), 1",
        "torch.ones(1):expand(1 << 30):reshape(1 << 15, 1 << 15):t():reshape(1 << 30):abs()",
        "w:pad({1 << 38, 0})", "torch.one_hot(torch.zeros(1000), 1 << 30)",
        "torch.diag(torch.ones(10000))", "bitloop.blocks(w, 1 << 35)",
        "w:index_select(0, torch.ones(1):expand(1 << 28))", "torch.ones(1):expand(1 << 30):sort()",
        "torch.ones(1):expand(1 << 30):cumsum(0)", "torch.ones(1):expand(1 << 30):gt(0)",
        "torch.zeros_like(torch.ones(1):expand(1 << 30))",
        "torch.cat({torch.ones(1):expand(1 << 30), w:flatten()})",
        "local t = {} for i = 1, 1000 do t[i] = torch.zeros(1 << 20) end"));

TEST(AttackTest, TensorChurnStaysInsideTheQuota) {
  Limits limits = small_limits();
  limits.call_seconds = 60;
  EXPECT_EQ(
      body_error("for i = 1, 1000 do local t = torch.zeros(1024, 1024) end return w, 1", limits)
          .message,
      "");
}

TEST(AttackTest, RecursionIsAnError) {
  EXPECT_THAT(body_error("local function f() return 1 + f() end f()").message,
              HasSubstr("stack overflow"));
  EXPECT_EQ(body_error("local function f() return pcall(f) end return w, f() and 1").code, "");
  EXPECT_EQ(body_error("local f f = bitloop.autograd{forward = function(x) return f(x) end, "
                       "backward = error} f(w)")
                .code,
            "script_error");
}

TEST(AttackTest, LongMessagesAreCut) {
  const Error error = body_error("error(('x'):rep(1e6))");
  EXPECT_EQ(error.code, "script_error");
  EXPECT_LT(error.message.size(), 3000u);
  EXPECT_EQ(body_error("error('a\\nb\\27[31m')").message, "candidate.lua:3: a b [31m");
}

TEST(AttackTest, WrongSizesAreArgumentErrors) {
  for (const char* body : {"torch.zeros(-1)",         "torch.zeros(1.5)",
                           "torch.zeros(0/0)",        "torch.zeros(1/0)",
                           "torch.zeros('x')",        "torch.zeros({1, {}})",
                           "torch.full({-1}, 0)",     "w:tile(-1)",
                           "w:view(-2, 3)",           "w:expand(-5, 3)",
                           "w:narrow(0, 5, 9)",       "w:select(9, 0)",
                           "w:size(math.mininteger)", "torch.eye(-1)",
                           "torch.arange(0/0)",       "torch.arange(1, 0, 0)",
                           "w:sum{dim = 1 << 62}",    "w:unfold(0, 1 << 62, 1)",
                           "w:topk(1 << 40)",         "w:roll(1, 99)",
                           "bitloop.blocks(w, 0)",    "bitloop.hadamard(w, 3)",
                           "bitloop.hadamard(w, -4)", "w:diag(1 << 62)",
                           "w:tril(1 << 62):foo()"}) {
    const Error error = body_error(body);
    EXPECT_EQ(error.code, "script_error") << body << ": " << error.message;
    EXPECT_THAT(error.message, StartsWith("candidate.lua:3: ")) << body;
  }
}

// ---- E. Types and metatables

TEST(AttackTest, WrongSelvesAreErrors) {
  for (const char* body : {"w.abs({})",
                           "w.abs()",
                           "w.abs(nil)",
                           "w.abs('x')",
                           "torch.abs(3)",
                           "w.abs(pcall)",
                           "torch.abs({w})",
                           "torch.maximum(w, {})",
                           "w:clamp('a', 'b')",
                           "return w + {}",
                           "return w .. 'x'",
                           "return #w",
                           "return w()",
                           "return w < w",
                           "return w == w * 1",
                           "w[0] = 1",
                           "w.abs = nil",
                           "return w[true]",
                           "return w[{}]",
                           "return 'x' + w",
                           "torch.cat(w)",
                           "torch.cat{w, 1}",
                           "torch.where(1, 2, 3)",
                           "w:mean{dim = {}, keepdim = 1}"}) {
    const Error error = body_error(body);
    EXPECT_EQ(error.code, "script_error") << body;
    EXPECT_THAT(error.message, StartsWith("candidate.lua:3: ")) << body;
  }
  EXPECT_THAT(body_error("w.abs({})").message, HasSubstr("abs: x must be a Tensor, got a table"));
  EXPECT_THAT(body_error("w.abs()").message, HasSubstr("abs: x must be a Tensor, got nothing"));
}

TEST(AttackTest, MethodsAndLibrariesCantBeChanged) {
  for (const char* body :
       {"torch.abs = nil", "bitloop.x = 1", "math.abs = 1", "string.rep = 1", "table.sort = 1",
        "x = 1", "w.__index = 1", "table.insert(torch, 1)", "torch[1] = 1", "pcall = nil"}) {
    EXPECT_EQ(body_error(body).code, "script_error") << body;
  }
  EXPECT_THAT(load_error("torch.abs = 1").message, HasSubstr("read-only"));
  EXPECT_EQ(load_error("local t = torch t.x = 1").code, "script_error");
}

TEST(AttackTest, EverythingReachableIsReadOnlyAfterLoading) {
  const std::string source = R"lua(
    local cache, deep = {}, {a = {b = {}}}
    counter = 0
    local Q = {levels = {-1, 0, 1}, config = {}}
    local function helper() return deep end
    function Q.weight_quant(w, ctx) %s return w, 1 end
    return Q)lua";
  for (const char* body :
       {"cache.x = 1", "cache[1] = w", "helper().a.b.c = 1", "counter = 1", "Q.levels[1] = 5",
        "Q.x = 1", "Q.weight_quant = nil", "table.insert(cache, 1)", "table.sort(Q.levels)",
        "table.remove(Q.levels)"}) {
    std::string text = source;
    text.replace(text.find("%s"), 2, body);
    EXPECT_THAT(quantize(text).error().message, HasSubstr("read-only")) << body;
  }
  std::string text = source;
  text.replace(
      text.find("%s"), 2,
      "assert(#Q.levels == 3 and Q.levels[1] == -1 and counter == 0) local n = 0 "
      "for i, v in ipairs(Q.levels) do n = n + i end for k, v in pairs(Q.levels) do n = n + k end "
      "assert(n == 12 and table.concat(Q.levels, ',') == '-1,0,1' and select('#', "
      "table.unpack(Q.levels)) == 3)");
  const auto result = quantize(text);
  EXPECT_TRUE(result) << result.error().message;
}

TEST(AttackTest, NoAddressesAreShown) {
  for (const char* value :
       {"tostring({})", "tostring(pcall)", "('%s'):format({})", "string.format('%s', pcall)",
        "tostring(w.abs)", "string.format('%10s', {})", "tostring(Q)"}) {
    const Error error = body_error(fmt::format("error({}, 0)", value));
    EXPECT_THAT(error.message, ::testing::Not(HasSubstr("0x"))) << value;
  }
  EXPECT_EQ(
      body_error("error(tostring({}) .. tostring(pcall) .. tostring(nil) .. tostring(1.5), 0)")
          .message,
      "candidate.lua:3: tablefunctionnil1.5");
  for (const char* format : {"%p", "%5p", "%-20p", "%q", "%", "%n", "%y"}) {
    EXPECT_THAT(body_error(fmt::format("string.format('{}', {{}})", format)).message,
                HasSubstr("there is no conversion"))
        << format;
  }
  EXPECT_EQ(body_error("error(string.format('%5.2f|%d|%s|%%|%x|%g', 1.234, 7, 'a', 255, 0.5), 0)")
                .message,
            "candidate.lua:3:  1.23|7|a|%|ff|0.5");
}

TEST(AttackTest, PairsIsSortedAndRefusesUnorderedKeys) {
  EXPECT_EQ(
      body_error("local t = {z = 1, a = 1, [3] = 1, [1.5] = 1, [-2] = 1, [true] = 1} local s = '' "
                 "for k in pairs(t) do s = s .. tostring(k) .. ' ' end error(s, 0)")
          .message,
      "candidate.lua:3: -2 1.5 3 a z true ");
  EXPECT_THAT(body_error("for k in pairs({[{}] = 1}) do end").message,
              HasSubstr("only numbers, strings and booleans"));
  EXPECT_THAT(body_error("for k in pairs(w) do end").message,
              HasSubstr("table expected, got Tensor"));
}

TEST(AttackTest, ExceptionsUnderPcallLeakNothing) {
  EXPECT_EQ(body_error("for i = 1, 2000 do assert(not pcall(w.matmul, w, w)) assert(not "
                       "pcall(w.view, w, 7)) end "
                       "return w, 1")
                .message,
            "");
}

TEST(AttackTest, ThereIsNoRandomness) {
  for (const char* name : {"rand", "randn", "randint", "randperm", "bernoulli", "dropout", "normal",
                           "multinomial", "manual_seed", "rand_like"}) {
    EXPECT_THAT(body_error(fmt::format("return torch.{}(3)", name)).message,
                HasSubstr("no randomness"))
        << name;
    EXPECT_THAT(body_error(fmt::format("return w:{}()", name)).message, HasSubstr("no randomness"))
        << name;
  }
}

TEST(AttackTest, OtherLibrariesNamesGetTheRightOne) {
  EXPECT_THAT(body_error("torch.clip(w, 0, 1)").message,
              HasSubstr("there is no torch.clip: use clamp"));
  EXPECT_THAT(body_error("w:cmul(w)").message, HasSubstr("use mul or *"));
  EXPECT_THAT(body_error("w:abs_()").message,
              HasSubstr("nothing works in place: use x = x:abs(…)"));
  EXPECT_THAT(body_error("w:sum{axis = 0}").message,
              HasSubstr("has no argument 'axis', did you mean 'dim'?"));
  EXPECT_THAT(body_error("w:clamp{mim = 0}").message, HasSubstr("did you mean 'min'?"));
  EXPECT_THAT(body_error("w:roundd()").message, HasSubstr("did you mean 'round'?"));
  EXPECT_THAT(body_error("torch.ste_round(w)").message,
              HasSubstr("did you mean bitloop.ste_round?"));
  EXPECT_THAT(body_error("np.where(w)").message, HasSubstr("use torch"));
}

}  // namespace
}  // namespace bitloop::lua
