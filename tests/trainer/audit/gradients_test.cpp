#include "trainer/audit/gradients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

// A weight_quant with a surrogate, and an init with one parameter.
std::string with_surrogate(const std::string& surrogate, const std::string& more = "") {
  return R"(
local Q = {name = "t", levels = {-1, 0, 1}}
function Q.init(layer)
  return {params = {s = {value = torch.tensor(0.1)}}}
end
function Q.weight_quant(w, ctx)
  local s = ctx.params.s
  local codes = (w / s):round():clamp{min = -1, max = 1}
  return {codes = codes, scale = s, surrogate = )" +
         surrogate + "}\nend\n" + more + "return Q\n";
}

class GradientsTest : public testing::Test {
 protected:
  Finding of(lua::Quantizer& quantizer, double lambda = 1.0) {
    ModelConfig config = small_model();
    config.width = 128;  // the zoo's transforms are of blocks of 128
    Transformer model(config, false, 3);
    BitLinear& layer = *model.bitlinears().front();
    if (quantizer.has("init")) {
      auto made = quantizer.init(layer.layer, layer.weight.detach());
      EXPECT_TRUE(made) << (made ? "" : made.error().message);
      for (auto& [name, param] : made->params)
        layer.params[name] = param.value.requires_grad_(true);
      layer.state = std::move(made->state);
    }
    return audit_gradients(
        layer, {.quantizer = &quantizer, .total_steps = 9, .training = true, .lambda = lambda});
  }
  Finding of(const std::string& text) { return of(*quantizer_from(text)); }
};

TEST_F(GradientsTest, NoSurrogateIsStraightThrough) {
  const Finding found = of(kTernaryLua);
  EXPECT_TRUE(found.ok) << found.detail;
  EXPECT_EQ(found.detail, "gradients reach the weights and every parameter");
}

TEST_F(GradientsTest, EachShippedFileTrains) {
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    const Finding found = of(*shipped_quantizer(entry.path().stem()));
    EXPECT_TRUE(found.ok) << entry.path() << ": " << found.detail;
    EXPECT_THAT(found.detail, HasSubstr("reach the weights")) << entry.path();
  }
}

TEST_F(GradientsTest, AParameterWithoutOneIsRefusedAsTrainingWould) {
  const Finding found = of(with_surrogate("w * 1"));
  EXPECT_FALSE(found.ok);
  EXPECT_EQ(found.status, "script_error");
  EXPECT_THAT(found.detail, HasSubstr("no gradient reaches parameter 's' of layer h.0"));
  EXPECT_TRUE(of(with_surrogate("w * s")).ok);
}

TEST_F(GradientsTest, ARegularizerOrARowBiasReachesItToo) {
  EXPECT_TRUE(of(with_surrogate("w * 1",
                                "function Q.regularizer(w, value, ctx)\n"
                                "  return ctx.params.s:square():sum()\nend\n"))
                  .ok);
  EXPECT_TRUE(of(with_surrogate("w * 1",
                                "function Q.row_bias(w, codes, ctx)\n"
                                "  return w:mean{dim = -1} * ctx.params.s\nend\n"))
                  .ok);
}

TEST_F(GradientsTest, RoundInASurrogateIsNamed) {
  const Finding found = of(with_surrogate("(w / s):round() * s"));
  EXPECT_TRUE(found.ok) << "it is legal";
  EXPECT_THAT(found.detail, HasSubstr("careful: the gradient of weight_quant's surrogate is 0"));
  EXPECT_THAT(found.detail, HasSubstr("ste_round"));
  EXPECT_THAT(of(with_surrogate("bitloop.ste_round(w / s) * s")).detail,
              HasSubstr("reach the weights"));
}

TEST_F(GradientsTest, AnActivationsSurrogateToo) {
  const std::string text = R"(
local Q = {name = "t"}
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  local codes = (x / scale):round():clamp{min = -128, max = 127}
  return {codes = codes, scale = scale, surrogate = SURROGATE}
end
return Q
)";
  const auto with = [&](const std::string& surrogate) {
    std::string made = text;
    return made.replace(made.find("SURROGATE"), 9, surrogate);
  };
  EXPECT_THAT(of(with("x:sign() + 0 * x")).detail, HasSubstr("activation_quant"));
  EXPECT_THAT(of(with("x:tanh()")).detail, HasSubstr("reach the weights"));
}

TEST_F(GradientsTest, AnErrorInABackwardFunctionIsTheFindings) {
  const Finding found = of(with_surrogate("f(w) * s", "") /* f is defined above the functions */
                               .insert(1,
                                       "local f = bitloop.autograd{forward = function(x) return "
                                       "x * 2 end, backward = function(g, x) return "
                                       "g:nonsense() end}\n"));
  EXPECT_FALSE(found.ok);
  EXPECT_EQ(found.status, "script_error");
  EXPECT_THAT(found.detail, HasSubstr("nonsense"));
}

}  // namespace
}  // namespace bitloop::trainer
