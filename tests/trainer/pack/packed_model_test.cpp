#include "trainer/pack/packed_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/trainer/pack/packed_files.h"
#include "trainer/audit/bits.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(PackedModel, EveryQuantizersModelComesBackBitByBitAtItsSize) {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::randint(17, {2, 12}, at::kLong);
  for (const std::string& name : zoo()) {
    const auto quantizer = shipped_quantizer(name);
    Transformer model(middle_model(), /*quantize_head=*/false, 5);
    for (const auto& [parameter, tensor] : model.named_parameters())
      if (tensor.dim() == 1) tensor.detach().add_(at::randn(tensor.sizes()), 0.1);
    init_layers(model, *quantizer);
    const ForwardContext context{
        .quantizer = quantizer.get(), .step = 9, .total_steps = 9, .products = Products::kFloat32};
    const Status quantized = model.quantize_weights(context);
    ASSERT_TRUE(quantized) << name << ": " << quantized.error().message;
    const double bits = bits_per_weight(model, quantizer.get());
    const PackedModel packed = pack_model(model, &quantizer->format(), at::kFloat);
    EXPECT_NEAR(packed.bits_per_weight, bits, 0.01 * bits) << name;

    const std::string file = file_of(packed, {});
    Transformer other = Transformer::empty(middle_model(), false);
    const Status unpacked = unpack(file, other, &quantizer->format());
    ASSERT_TRUE(unpacked) << name << ": " << unpacked.error().message;
    ASSERT_TRUE(other.quantize_weights(context)) << name;
    EXPECT_TRUE(at::equal(*model.forward(ids, context), *other.forward(ids, context))) << name;
    const auto layers = model.bitlinears(), others = other.bitlinears();
    for (size_t i = 0; i < layers.size(); ++i) {
      materialise_value(layers[i]->weight_operand, layers[i]->latent, quantizer->format());
      EXPECT_TRUE(at::equal(layers[i]->weight_operand.value, others[i]->weight_operand.value))
          << name;
    }
  }
}

TEST(PackedModel, FloatsMayBeNarrow) {
  const at::NoGradGuard no_grad;
  Transformer model(middle_model(), false, 5);
  const auto quantizer = quantizer_from(kTernaryLua);
  const ForwardContext context{.quantizer = quantizer.get()};
  ASSERT_TRUE(model.quantize_weights(context));
  const std::string wide = file_of(pack_model(model, &quantizer->format(), at::kFloat), {}),
                    narrow = file_of(pack_model(model, &quantizer->format(), at::kBFloat16), {});
  EXPECT_LT(narrow.size(), wide.size());
  Transformer other = Transformer::empty(middle_model(), false);
  ASSERT_TRUE(unpack(narrow, other, &quantizer->format()));
  EXPECT_TRUE(at::equal(other.named_parameters()[0].second,
                        model.named_parameters()[0].second.to(at::kBFloat16).to(at::kFloat)));
}

// Both ways of reading a file refuse the same, in the same words.
class DamagedTest : public testing::TestWithParam<Unpack> {
 protected:
  void SetUp() override {
    const at::NoGradGuard no_grad;
    Transformer model(small_model(), false, 5);
    ASSERT_TRUE(model.quantize_weights({.quantizer = quantizer_.get()}));
    file_ = file_of(pack_model(model, &quantizer_->format(), at::kFloat), {{"job", "text"}});
    ASSERT_TRUE(read(file_));
  }
  Status read(const std::string& file) {
    Transformer model = Transformer::empty(small_model(), false);
    return unpack(file, model, &quantizer_->format(), GetParam());
  }
  std::string said(const std::string& file) {
    const Status done = read(file);
    return done ? "read" : done.error().message;
  }
  std::unique_ptr<lua::Quantizer> quantizer_ = quantizer_from(kTernaryLua);
  std::string file_;
};

TEST_P(DamagedTest, AFileCutAnywhereIsRefused) {
  for (size_t size = 0; size < file_.size(); size += 1 + size / 7)
    EXPECT_FALSE(read(file_.substr(0, size))) << size;
  EXPECT_FALSE(read(file_ + "x"));
}

TEST_P(DamagedTest, ABitFlippedAnywhereIsRefused) {
  std::mt19937_64 random(3);
  const uint64_t header = *reinterpret_cast<const uint64_t*>(file_.data());
  for (int i = 0; i < 600; ++i) {
    std::string file = file_;
    // Half of them in the header, which is short.
    const size_t at = i % 2 == 0 ? 8 + random() % header : random() % file.size();
    file[at] = static_cast<char>(file[at] ^ (1 << (random() % 8)));
    EXPECT_FALSE(read(file)) << "byte " << at;
  }
}

TEST_P(DamagedTest, HostileHeadersAreRefusedInASentence) {
  const uint64_t header = *reinterpret_cast<const uint64_t*>(file_.data());
  const auto with_header = [&](const std::string& text) {
    const uint64_t length = text.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + text + file_.substr(8 + header);
  };
  const json good = json::parse(file_.substr(8, header));
  const auto changed = [&](auto change) {
    json other = good;
    change(other);
    return with_header(other.dump());
  };
  EXPECT_THAT(said(changed([](json& h) { h["__metadata__"]["version"] = "2"; })),
              HasSubstr("of version '2', and this version of bitloop reads 1"));
  EXPECT_THAT(said(changed([](json& h) { h["__metadata__"]["format"] = "pt"; })),
              HasSubstr("is no packed model"));
  EXPECT_THAT(said(changed([](json& h) { h.erase("__metadata__"); })),
              HasSubstr("no packed model"));
  EXPECT_THAT(said(changed([](json& h) {
                h["wte.weight"]["shape"] = {1 << 30, 1 << 30};
              })),
              HasSubstr("another checksum"));
  EXPECT_THAT(said(changed([](json& h) {
                h["wte.weight"]["data_offsets"] = {0, uint64_t{1} << 63};
              })),
              HasSubstr("beyond its end"));
  EXPECT_THAT(said(changed([](json& h) {
                h["ln_f.bias"]["data_offsets"] = {0, 128};
              })),
              HasSubstr("overlap"));
  EXPECT_THAT(said(with_header(std::string(100000, '['))), HasSubstr("not JSON"));
}

TEST_P(DamagedTest, ATensorTooManyOrTooFewIsNamed) {
  const at::NoGradGuard no_grad;
  Transformer model(small_model(), false, 5);
  ASSERT_TRUE(model.quantize_weights({.quantizer = quantizer_.get()}));
  PackedModel packed = pack_model(model, &quantizer_->format(), at::kFloat);
  packed.tensors.emplace_back("h.0.more", at::ones({3}));
  EXPECT_THAT(said(file_of(packed, {})), HasSubstr("has 'h.0.more', which its model has not"));
  packed.tensors.pop_back();
  const auto codes = std::ranges::find_if(
      packed.tensors, [](const auto& entry) { return entry.first == "h.0.attn.c_attn.codes"; });
  ASSERT_NE(codes, packed.tensors.end());
  const at::Tensor whole = codes->second;
  codes->second = whole.narrow(0, 0, whole.size(0) - 1).contiguous();
  EXPECT_THAT(said(file_of(packed, {})), HasSubstr("bytes of codes for 'h.0.attn.c_attn'"));
  codes->second = at::full_like(whole, 250);
  EXPECT_THAT(said(file_of(packed, {})), HasSubstr("that are none of the 3 levels"));
  packed.tensors.erase(codes);
  EXPECT_THAT(said(file_of(packed, {})), HasSubstr("has no tensor 'h.0.attn.c_attn.codes'"));
}

TEST_P(DamagedTest, HostilePartsOfALayerAreRefused) {
  const at::NoGradGuard no_grad;
  Transformer model(small_model(), false, 5);
  ASSERT_TRUE(model.quantize_weights({.quantizer = quantizer_.get()}));
  const PackedModel good = pack_model(model, &quantizer_->format(), at::kFloat);
  // With its checksums, as whoever means harm would write them.
  const auto with = [&](const std::string& name, const at::Tensor& tensor) {
    PackedModel packed = good;
    for (auto& [each, of] : packed.tensors)
      if (each == name) of = tensor;
    return said(file_of(packed, {}));
  };
  const std::string layer = "h.1.mlp.c_fc";
  EXPECT_THAT(with(layer + ".codes", at::full({820}, 243, at::kByte)),
              HasSubstr("codes for 'h.1.mlp.c_fc' that are none of the 3 levels"));
  EXPECT_THAT(with(layer + ".codes", at::zeros({819}, at::kByte)), HasSubstr("819 bytes of codes"));
  EXPECT_THAT(with(layer + ".codes", at::zeros({0}, at::kByte)), HasSubstr("0 bytes of codes"));
  EXPECT_THAT(with(layer + ".scale", at::ones({128, 32}, at::kHalf)),
              HasSubstr("is not what a quantizer returns"));
  EXPECT_THAT(with(layer + ".scale", at::ones({0}, at::kHalf)),
              HasSubstr("is not what a quantizer returns"));
  EXPECT_THAT(with(layer + ".scale", at::full({}, INFINITY, at::kHalf)),
              HasSubstr("must be finite"));
  EXPECT_THAT(with("wte.weight", at::ones({31, 32})), HasSubstr("its model makes it"));
  EXPECT_THAT(with("wte.weight", at::ones({32, 32}, at::kByte)), HasSubstr("which is not read"));
}

INSTANTIATE_TEST_SUITE_P(BothWays, DamagedTest, testing::Values(Unpack::kWhole, Unpack::kInPlace));

}  // namespace
}  // namespace bitloop::trainer
