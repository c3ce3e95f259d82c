#include "trainer/audit/behaviour.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

constexpr const char* kHead = "local Q = {name = 't', levels = {-1, 0, 1}}\n";
constexpr const char* kWeight =
    "function Q.weight_quant(w, ctx)\n"
    "  local s = w:abs():mean():clamp{min = 1e-5}\n"
    "  return (w / s):round():clamp{min = -1, max = 1}, s\n"
    "end\n";

class BehaviourTest : public testing::Test {
 protected:
  BehaviourTest() : records_(-1, "") {}

  std::optional<std::string> of(const std::string& text) {
    trainer::Run run;
    run.records = &records_;
    run.job.train.steps = 8;
    run.job.candidate = text;
    run.job.candidate_path = "candidate.lua";
    run.job.rules.allowed_config["learning_rate"] = {1e-5, 1e-1};
    run.job.model = small_model();
    run.model = std::make_unique<Transformer>(run.job.model, false, 3);
    const Status loaded = load_candidate(run);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
    const at::Tensor before = run.model->bitlinears().front()->weight.detach().clone();
    const auto digest = behaviour_digest(run);
    EXPECT_TRUE(at::equal(run.model->bitlinears().front()->weight, before));
    EXPECT_FALSE(run.model->bitlinears().front()->weight.grad().defined());
    return digest;
  }
  std::optional<std::string> of_parts(const std::string& weight, const std::string& more = "") {
    return of(kHead + weight + more + "return Q\n");
  }

  Records records_;
};

TEST_F(BehaviourTest, IsTheSameForTheSame) {
  const auto digest = of_parts(kWeight);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->size(), 64u);
  EXPECT_EQ(of_parts(kWeight), digest);
}

TEST_F(BehaviourTest, AnotherWayOfWritingItIsTheSame) {
  EXPECT_EQ(of_parts("local function scale_of(t)\n  return torch.maximum(torch.mean(torch.abs(t)), "
                     "torch.tensor(1e-5))\nend\n"
                     "function Q.weight_quant(latent, ctx)  -- the same in other words\n"
                     "  local s = scale_of(latent)\n"
                     "  local codes = torch.clamp(torch.round(latent / s), {min = -1, max = 1})\n"
                     "  return {codes = codes, scale = s}\n"
                     "end\n"),
            of_parts(kWeight));
}

TEST_F(BehaviourTest, WhatATestWouldNoticeIsDifferent) {
  const auto digest = of_parts(kWeight);
  const auto replaced = [](std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  };
  const std::vector<std::pair<std::string, std::optional<std::string>>> others = {
      {"scale", of_parts(replaced(kWeight, "w:abs():mean()", "(w:abs():mean() * 1.0001)"))},
      {"surrogate",
       of_parts(replaced(kWeight, "return (w / s):round():clamp{min = -1, max = 1}, s",
                         "return {codes = (w / s):round():clamp{min = -1, max = 1}, scale = s, "
                         "surrogate = (w / s):tanh() * s}"))},
      {"levels", of(replaced(kHead, "{-1, 0, 1}", "{-1, 0, 1, 2}") + kWeight + "return Q\n")},
      {"config", of_parts(kWeight, "Q.config = {learning_rate = 1e-3}\n")},
      {"lambda",
       of_parts(kWeight, "function Q.lambda(ctx) return math.min(1, 2 * ctx.progress) end\n")},
      {"step", of_parts(replaced(kWeight, "1e-5}", "1e-5} * (1 + ctx.progress)"))},
      {"training only",
       of_parts(replaced(kWeight, "1e-5}", "1e-5} * (ctx.training and 1.1 or 1)"))},
      {"activation",
       of_parts(kWeight,
                "function Q.activation_quant(x, ctx)\n"
                "  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127\n"
                "  return (x / s):round():clamp{min = -128, max = 127}, s\nend\n")},
      {"row bias",
       of_parts(kWeight, "function Q.row_bias(w, codes, ctx) return w:mean{dim = -1} end\n")},
      {"regularizer",
       of_parts(kWeight,
                "function Q.regularizer(w, value, ctx) return (w - value):square():mean() end\n")},
      {"last layer",
       of_parts(replaced(kWeight, "1e-5}",
                         "1e-5} * (ctx.layer.index == ctx.layer.count - 1 and 2 or 1)"))},
  };
  std::set<std::string> all = {*digest};
  for (const auto& [what, other] : others) {
    ASSERT_TRUE(other) << what;
    EXPECT_TRUE(all.insert(*other).second) << what;
  }
}

TEST_F(BehaviourTest, OnlyTheGradientOfASurrogateMayDiffer) {
  const auto with = [&](const std::string& backward) {
    return of_parts(
        "local f = bitloop.autograd{\n"
        "  forward = function(x) return x * 1 end,\n"
        "  backward = function(g, x) return " +
        backward +
        " end}\n"
        "function Q.weight_quant(w, ctx)\n"
        "  local s = w:abs():mean():clamp{min = 1e-5}\n"
        "  return {codes = (w / s):round():clamp{min = -1, max = 1}, scale = s, surrogate = f(w)}\n"
        "end\n");
  };
  const auto once = with("g"), twice = with("g * 2");
  ASSERT_TRUE(once);
  ASSERT_TRUE(twice);
  EXPECT_NE(once, twice);
}

TEST_F(BehaviourTest, NoStatementWhereAFunctionRaisesOrThereIsNone) {
  EXPECT_FALSE(of_parts(kWeight, "function Q.row_bias(w, codes, ctx) error('not yet') end\n"));
  EXPECT_FALSE(of("return {name = 'float', doc = 'nothing'}\n"));
}

TEST_F(BehaviourTest, EachShippedFileHasItsOwn) {
  std::map<std::string, std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    const std::string name = entry.path().stem();
    if (entry.path().extension() != ".lua" || name == "float") continue;
    const std::string text = read_file(entry.path()).value();
    if (text.find("hadamard") != std::string::npos) continue;  // blocks of 128 in a small model
    const auto digest = of(text);
    ASSERT_TRUE(digest) << name;
    EXPECT_TRUE(seen.emplace(*digest, name).second) << name << " and " << seen[*digest];
  }
  EXPECT_GT(seen.size(), 10u);
}

}  // namespace
}  // namespace bitloop::trainer
