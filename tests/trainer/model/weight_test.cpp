// The weight side of BitLinear where a program makes its integers at once.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

BitLinear layer_for(lua::Quantizer& quantizer) {
  at::manual_seed(11);
  BitLinear layer;
  layer.layer = {.name = "l", .count = 1, .kind = "mlp_fc", .in_features = 128, .out_features = 48};
  layer.weight = at::randn({48, 128}).mul_(0.02).requires_grad_(true);
  if (quantizer.has("init")) {
    auto made = quantizer.init(layer.layer, layer.weight.detach());
    EXPECT_TRUE(made);
    for (auto& [name, param] : made->params) layer.params[name] = param.value.requires_grad_(true);
    layer.state = std::move(made->state);
  }
  return layer;
}

ForwardContext captured(lua::Quantizer& quantizer) {
  return {
      .quantizer = &quantizer, .training = true, .products = Products::kBfloat16, .captured = true};
}

// The first call captures and makes everything, the second one packs.
TEST(PackedWeights, AreThoseOfTheFunctionForTheWholeZoo) {
  int packed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers")) {
    if (entry.path().extension() != ".lua") continue;
    const std::string file = entry.path().stem();
    const auto quantizer = shipped_quantizer(file);
    if (!quantizer->format().quantizes_weights) continue;
    BitLinear layer = layer_for(*quantizer);
    const ForwardContext context = captured(*quantizer);
    ASSERT_TRUE(quantize_weight(layer, context)) << file;
    const Operand usual = layer.weight_operand;
    ASSERT_TRUE(usual.value.defined()) << file;
    ASSERT_TRUE(quantize_weight(layer, context)) << file;
    Operand again = layer.weight_operand;
    packed += !again.value.defined();
    materialise_value(again, layer.latent, quantizer->format());
    EXPECT_TRUE(at::equal(again.codes, usual.codes)) << file;
    EXPECT_TRUE(at::equal(again.value, usual.value)) << file;
    EXPECT_TRUE(again.scale.defined() ? at::equal(again.scale, usual.scale)
                                      : at::equal(again.codebook, usual.codebook))
        << file;
    EXPECT_EQ(again.stored_numbers, usual.stored_numbers) << file;
    ASSERT_EQ(again.codes_int8.defined(), usual.codes_int8.defined()) << file;
    if (!usual.codes_int8.defined()) continue;
    EXPECT_TRUE(at::equal(again.codes_int8, usual.codes_int8)) << file;
    EXPECT_TRUE(at::equal(again.int8_scale, usual.int8_scale)) << file;
  }
  EXPECT_GT(packed, 10);
}

// Everything that reads a value or a code keeps it.
TEST(PackedWeights, AreNotWhereSomethingReadsTheFloats) {
  const std::string text = kTernaryLua;
  const std::string head = text.substr(0, text.rfind("return Q"));
  for (const char* more :
       {"function Q.regularizer(w, value, ctx) return (w - value):square():sum() end\n",
        "function Q.after_step(ctx, codes) return {} end\n",
        "function Q.row_bias(w, codes, ctx) return codes:mean{dim = -1} end\n", "Q.bits = nil\n"}) {
    const auto quantizer = quantizer_from(head + more + "return Q\n");
    ASSERT_TRUE(quantizer) << more;
    BitLinear layer = layer_for(*quantizer);
    for (int call = 0; call < 2; ++call)
      ASSERT_TRUE(quantize_weight(layer, captured(*quantizer))) << more;
    EXPECT_EQ(layer.weight_operand.value.defined(), std::string(more) != "Q.bits = nil\n") << more;
  }
  const auto quantizer = quantizer_from(kTernaryLua);
  BitLinear layer = layer_for(*quantizer);
  ForwardContext half = captured(*quantizer);
  ASSERT_TRUE(quantize_weight(layer, half));
  half.lambda = 0.5;
  ASSERT_TRUE(quantize_weight(layer, half));
  EXPECT_TRUE(layer.weight_operand.value.defined());
  EXPECT_FALSE(at::equal(layer.used_weight, layer.weight));
}

// Lambda may fall again after weights were kept as integers alone.
TEST(PackedWeights, KeptOnesCanStillBeBlended) {
  const std::string text = kTernaryLua;
  const auto quantizer =
      quantizer_from(text.substr(0, text.rfind("return Q")) + "Q.requantize_every = 9\nreturn Q\n");
  BitLinear layer = layer_for(*quantizer);
  ForwardContext context = captured(*quantizer);
  ASSERT_TRUE(quantize_weight(layer, context));
  const at::Tensor value = layer.weight_operand.value;
  ASSERT_TRUE(quantize_weight(layer, context));
  ASSERT_FALSE(layer.weight_operand.value.defined());
  context.step = 1;
  context.lambda = 0.25;
  ASSERT_TRUE(quantize_weight(layer, context));
  EXPECT_TRUE(at::equal(layer.used_weight, layer.weight.detach().lerp(value, 0.25)));
}

TEST(PackedWeights, ACodeThatIsNoLevelIsNamedAsEver) {
  std::string text = kTernaryLua;
  const std::string clamp = ":clamp{min = -1, max = 1}, scale";
  text.replace(text.find(clamp), clamp.size(), ", scale");  // large weights leave the levels
  const auto quantizer = quantizer_from(text);
  BitLinear layer = layer_for(*quantizer);
  layer.weight.detach().clamp_(-0.015, 0.015);
  ASSERT_TRUE(quantize_weight(layer, captured(*quantizer)));
  layer.weight.detach()[3][5] = 1.0f;
  const Status far = quantize_weight(layer, captured(*quantizer));
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().code, "rejected");
  EXPECT_THAT(far.error().message, HasSubstr("at [3, 5] is not a declared level"));
  layer.weight.detach()[3][5] = NAN;
  const Status nan = quantize_weight(layer, captured(*quantizer));
  ASSERT_FALSE(nan);
  EXPECT_EQ(nan.error().code, "diverged");
}

}  // namespace
}  // namespace bitloop::trainer
