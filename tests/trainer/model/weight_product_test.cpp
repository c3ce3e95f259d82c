#include "trainer/model/weight_product.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/code_tensors.h"

namespace bitloop::trainer {
namespace {

// Learned values: eight entries for each block of 24 inputs.
constexpr const char* kCodebookLua = R"(
local Q = {name = "c", codebook = {entries = 8, block = 24}}
function Q.weight_quant(w, ctx)
  local blocks = math.floor((w:size(1) + 23) / 24)
  local step = w:abs():amax():clamp{min = 1e-5} / 4
  local codes = (w / step + 4):round():clamp{min = 0, max = 7}
  local entries = torch.arange(8):view(1, 1, 8) - 4
  return {codes = codes, codebook = entries * step + torch.zeros(w:size(0), blocks, 8)}
end
return Q)";

// Asymmetric, unequal levels and an offset: no integer form.
constexpr const char* kOffsetLua = R"(
local Q = {name = "o", levels = {-1, 0, 0.3, 2}, scale_dtype = "float32"}
function Q.weight_quant(w, ctx)
  local scale = w:abs():mean{dim = 1, keepdim = true}:clamp{min = 1e-5}
  local codes = torch.where((w / scale):gt(1), torch.ones_like(w) * 2, (w / scale):round():clamp{min = -1, max = 0})
  return {codes = codes, scale = scale, offset = w:mean()}
end
return Q)";

// More levels than are walked through one by one, as integers and, with one more, as floats.
std::string rounded(const std::string& levels, int lowest, int highest) {
  return fmt::format(R"(
local Q = {{name = "r", {}}}
function Q.weight_quant(w, ctx)
  local scale = w:abs():amax{{dim = 1, keepdim = true}}:clamp{{min = 1e-5}} / {}
  return (w / scale):round():clamp{{min = {}, max = {}}}, scale
end
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{{dim = -1, keepdim = true}}:clamp{{min = 1e-5}} / 127
  return (x / scale):round():clamp{{min = -128, max = 127}}, scale
end
return Q)",
                     levels, highest, lowest, highest);
}

std::vector<std::pair<std::string, std::string>> all_quantizers() {
  std::vector<std::pair<std::string, std::string>> all = {
      {"codebook", kCodebookLua},
      {"offset", kOffsetLua},
      {"6 bits", rounded("bits = 6", -32, 31)},
      {"8 bits", rounded("bits = 8", -128, 127)},
      {"9 bits", rounded("bits = 9", -256, 255)}};
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers"))
    if (entry.path().extension() == ".lua")
      all.emplace_back(entry.path().stem().string(), *read_file(entry.path()));
  return all;
}

BitLinear make_layer(int64_t N, int64_t K, lua::Quantizer& quantizer) {
  BitLinear layer;
  layer.layer = {
      .name = "l", .index = 0, .count = 1, .kind = "mlp_fc", .in_features = K, .out_features = N};
  layer.weight = at::randn({N, K}).mul_(0.02);
  layer.bias = at::randn({N});
  if (quantizer.has("init")) {
    const auto made = quantizer.init(layer.layer, layer.weight);
    EXPECT_TRUE(made);
    for (const auto& [name, param] : made->params) layer.params[name] = param.value;
    layer.state = made->state;
    if (made->weight.defined()) layer.weight = made->weight;
  }
  return layer;
}

// The same arithmetic on the unpacked weight: integers as training's scores sum them, floats as
// float_product does.
at::Tensor unpacked(BitLinear& layer, const at::Tensor& x, ForwardContext context) {
  context.as_stored = false;
  EXPECT_TRUE(quantize_weight(layer, context));
  Operand weight = layer.weight_operand;
  if (weight.codes.defined()) materialise_value(weight, layer.latent, context.quantizer->format());
  class Plain : public WeightProduct {
   public:
    explicit Plain(const Operand& weight) : weight_(weight) {}
    bool takes_integers() const override { return weight_.codes_int8.defined(); }
  int64_t bytes() const override { return 0; }
    at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const override {
      if (takes_integers() && x.codes_int8.defined())
        return codes::scale_products(codes::multiply(x.codes_int8, weight_.codes_int8),
                                     x.int8_scale, weight_.int8_scale, bias);
      return float_product(weight_.value.contiguous())->multiply(x, bias);
    }

   private:
    const Operand& weight_;
  };
  layer.product = std::make_shared<Plain>(weight);
  const auto y = bitlinear_forward(layer, x, context);
  EXPECT_TRUE(y) << y.error().message;
  layer.product = nullptr;
  return *y;
}

TEST(WeightProduct, EveryQuantizersPackedLayerGivesTheBitsOfTheUnpackedOne) {
  const at::NoGradGuard no_grad;
  at::manual_seed(21);
  for (const auto& [name, text] : all_quantizers())
    for (const auto& [N, K] : {std::pair<int64_t, int64_t>{33, 128}, {10, 384}})
      for (const int64_t rows : {1, 3, 40}) {
        const auto quantizer = quantizer_from(text);
        BitLinear layer = make_layer(N, K, *quantizer);
        const at::Tensor x = at::randn({rows, K});
        ForwardContext context{.quantizer = quantizer.get(),
                               .step = 9,
                               .total_steps = 9,
                               .products = Products::kFloat32,
                               .as_stored = true};
        const Status quantized = quantize_weight(layer, context);
        ASSERT_TRUE(quantized) << name << ": " << quantized.error().message;
        if (quantizer->format().quantizes_weights)
          EXPECT_FALSE(layer.weight_operand.value.defined()) << name << " keeps floats";
        const auto packed = bitlinear_forward(layer, x, context);
        ASSERT_TRUE(packed) << name << ": " << packed.error().message;
        EXPECT_TRUE(at::equal(*packed, unpacked(layer, x, context)))
            << name << ", " << N << " x " << K << ", " << rows << " rows";

        // And all but the order of additions is what other paths compute.
        context.as_stored = false;
        context.products = Products::kExact;
        const auto exact = bitlinear_forward(layer, x, context);
        ASSERT_TRUE(exact);
        const double scale = exact->abs().max().item<double>();
        EXPECT_LT((*packed - *exact).abs().max().item<double>(), 1e-5 * scale) << name;
      }
}

TEST(WeightProduct, IntegersAreTheNumbersOfTrainingsScores) {
  const at::NoGradGuard no_grad;
  at::manual_seed(22);
  for (const char* name : {"ternary", "binary", "int2", "int3", "int4", "five_levels"}) {
    const auto quantizer = shipped_quantizer(name);
    BitLinear layer = make_layer(48, 256, *quantizer);
    const at::Tensor x = at::randn({5, 256});
    ForwardContext context{.quantizer = quantizer.get(), .products = Products::kFloat32};
    ASSERT_TRUE(quantize_weight(layer, context));
    const auto scored = bitlinear_forward(layer, x, context);
    context.as_stored = true;
    ASSERT_TRUE(quantize_weight(layer, context));
    EXPECT_TRUE(layer.product->takes_integers()) << name;
    EXPECT_TRUE(at::equal(*bitlinear_forward(layer, x, context), *scored)) << name;
    EXPECT_LT(layer.product->bytes(), 48 * 256 / 2 + 256) << name;
  }
}

}  // namespace
}  // namespace bitloop::trainer
