// Every operation with arguments that nobody means: the wrong types, empty tensors, indices far
// outside, NaN where a number is wanted. Each call answers or raises one sentence that names the
// operation; none crashes, hangs or takes memory that was not reserved.
#include <fmt/format.h>

#include <random>

#include "lua/tensor/operation.h"
#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

constexpr int kCalls = 60;  // of each operation

const std::vector<std::string> kTensors = {
    "w",        "w[0]",    "w[0][0]",         "torch.zeros(0)",        "torch.zeros(2, 0)",
    "w:gt(0)",  "w:int()", "w:unsqueeze(0)",  "torch.ones(3, 3)",      "w * (0 / 0)",
    "w * 1e38", "w:t()",   "torch.arange(3)", "torch.arange(6):int()", "-w:int() * (1 << 40)"};
const std::vector<std::string> kNumbers = {"0",
                                           "1",
                                           "-1",
                                           "2",
                                           "3",
                                           "0.5",
                                           "-7",
                                           "1 << 40",
                                           "-(1 << 62)",
                                           "math.maxinteger",
                                           "math.mininteger",
                                           "0 / 0",
                                           "math.huge",
                                           "-1e308"};
const std::vector<std::string> kOthers = {"nil",           "true",      "false",     "'floor'",
                                          "'linear'",      "{}",        "{0}",       "{1, 0}",
                                          "{-1, 1 << 40}", "{0, 0, 0}", "{w, w}",    "{w, w[0]}",
                                          "torch.abs",     "{dim = 0}", "{dim = {}}"};

class Dice {
 public:
  const std::string& one_of(const std::vector<std::string>& values) {
    return values[next(values.size())];
  }
  size_t next(size_t sides) { return static_cast<size_t>(engine_() % sides); }

 private:
  std::mt19937 engine_{1};
};

// Mostly of the parameter's type.
std::string argument(const Parameter& parameter, Dice& dice) {
  const size_t roll = dice.next(10);
  if (roll == 0) return dice.one_of(kOthers);
  if (roll == 1) return dice.one_of(kTensors);
  if (parameter.type == "Tensor" || (parameter.type == "Operand" && roll < 6))
    return dice.one_of(kTensors);
  if (parameter.type == "Tensors") return dice.next(2) ? "{w, w}" : "{w, w:gt(0), w[0]}";
  if (parameter.type == "Dims" || parameter.type == "integers") {
    if (roll < 6) return "{" + dice.one_of(kNumbers) + ", " + dice.one_of(kNumbers) + "}";
  }
  if (parameter.type == "boolean") return dice.next(2) ? "true" : "false";
  return dice.one_of(kNumbers);
}

std::string call(const BoundOperation& bound, Dice& dice) {
  std::string arguments;
  for (const Parameter& parameter : bound.parameters) {
    if (parameter.optional && dice.next(3) == 0) break;
    arguments += (arguments.empty() ? "" : ", ") + argument(parameter, dice);
  }
  const bool extra = bound.operation->forms & kBitloop;
  return fmt::format("{}.{}({})", extra ? "bitloop" : "torch", bound.name, arguments);
}

TEST(HostileArgumentsTest, AnswerOrRaiseOneSentence) {
  Dice dice;
  for (const BoundOperation& bound : bound_operations()) {
    std::string calls;
    std::vector<std::string> texts;
    for (int i = 0; i < kCalls; ++i) {
      texts.push_back(call(bound, dice));
      calls += fmt::format("  function(w) return {} end,\n", texts.back());
    }
    const auto quantizer = load("local Q = {levels = {-1, 0, 1}}\nlocal calls = {\n" + calls +
                                "}\nfunction Q.weight_quant(w, ctx)\n  calls[ctx.step + 1](w)\n  "
                                "return w, 1\nend\nreturn Q\n");
    ASSERT_TRUE(quantizer) << quantizer.error().message;
    for (int i = 0; i < kCalls; ++i) {
      Context context;
      context.step = i;
      const std::string& text = texts[static_cast<size_t>(i)];
      const at::Tensor w = at::arange(6, at::kFloat).view({2, 3}) - 2.5;
      const Result<Quantized> result = (*quantizer)->weight_quant(w, context);
      EXPECT_TRUE(at::equal(w, at::arange(6, at::kFloat).view({2, 3}) - 2.5)) << text;
      if (result) continue;
      const std::string& message = result.error().message;
      // A limit of memory names nobody: the line does.
      EXPECT_TRUE(result.error().code == "out_of_memory" ||
                  message.find(fmt::format(": {}: ", bound.name)) != std::string::npos)
          << text << ": " << message;
      EXPECT_THAT(message, ::testing::ContainsRegex("^candidate.lua:[0-9]+: .")) << text;
      EXPECT_EQ(message.find('\n'), std::string::npos) << text << ": " << message;
      EXPECT_NE(result.error().code, "timeout") << text;
      EXPECT_EQ(message.find("INTERNAL ASSERT"), std::string::npos) << text << ": " << message;
    }
  }
}

}  // namespace
}  // namespace bitloop::lua
