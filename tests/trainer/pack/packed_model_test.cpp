#include "trainer/pack/packed_model.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <random>

#include "harness/base/fd.h"
#include "tests/trainer/fixture.h"
#include "trainer/audit/bits.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ModelConfig middle_model() {
  return {.vocab_size = 17,
          .padded_vocab_size = 32,
          .context = 12,
          .layers = 2,
          .heads = 2,
          .width = 128};
}

std::string file_of(const PackedModel& packed, const json& description) {
  const UniqueFd fd(::memfd_create("packed", MFD_CLOEXEC));
  EXPECT_TRUE(write_packed(fd.get(), packed, description));
  ::lseek(fd.get(), 0, SEEK_SET);
  return *read_all(fd.get());
}

Result<MappedTensors> parse(const std::string& file) {
  const UniqueFd fd(::memfd_create("packed", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd.get(), file));
  return MappedTensors::parse(*MappedFile::map(fd.get()));
}

// A model of the file; what is wrong with it.
Status unpack(const std::string& file, Transformer& model, const lua::Format* format) {
  BITLOOP_ASSIGN(tensors, parse(file));
  BITLOOP_ASSIGN(description, read_description(tensors));
  return unpack_model(tensors, description, model, format);
}

std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers"))
    if (entry.path().extension() == ".lua") names.push_back(entry.path().stem().string());
  return names;
}

void init_layers(Transformer& model, lua::Quantizer& quantizer) {
  if (!quantizer.has("init")) return;
  for (BitLinear* layer : model.bitlinears()) {
    const auto made = quantizer.init(layer->layer, layer->weight.detach());
    ASSERT_TRUE(made) << made.error().message;
    for (const auto& [name, param] : made->params) layer->params[name] = param.value;
    layer->state = made->state;
  }
}

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

class DamagedTest : public testing::Test {
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
    return unpack(file, model, &quantizer_->format());
  }
  std::string said(const std::string& file) {
    const Status done = read(file);
    return done ? "read" : done.error().message;
  }
  std::unique_ptr<lua::Quantizer> quantizer_ = quantizer_from(kTernaryLua);
  std::string file_;
};

TEST_F(DamagedTest, AFileCutAnywhereIsRefused) {
  for (size_t size = 0; size < file_.size(); size += 1 + size / 7)
    EXPECT_FALSE(read(file_.substr(0, size))) << size;
  EXPECT_FALSE(read(file_ + "x"));
}

TEST_F(DamagedTest, ABitFlippedAnywhereIsRefused) {
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

TEST_F(DamagedTest, HostileHeadersAreRefusedInASentence) {
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

TEST_F(DamagedTest, ATensorTooManyOrTooFewIsNamed) {
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

}  // namespace
}  // namespace bitloop::trainer
