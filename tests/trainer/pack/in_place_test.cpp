// A packed model that is read where it lies says, token for token, what the same model says
// unpacked.
#include <gtest/gtest.h>

#include "tests/trainer/pack/packed_files.h"
#include "trainer/kernels/device_kernels.h"
#include "trainer/model/code_tensors.h"

namespace bitloop::trainer {
namespace {

// The arithmetic of packed products on a weight that was unpacked as a whole.
class Unpacked : public WeightProduct {
 public:
  explicit Unpacked(const Operand& weight) : weight_(weight) {}
  bool takes_integers() const override { return weight_.codes_int8.defined(); }
  int64_t bytes() const override { return 0; }
  at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const override {
    if (takes_integers() && x.codes_int8.defined())
      return codes::scale_products(codes::multiply(x.codes_int8, weight_.codes_int8), x.int8_scale,
                                   weight_.int8_scale, bias);
    return float_product(weight_.value.contiguous())->multiply(x, bias);
  }

 private:
  const Operand weight_;
};

struct Said {
  std::vector<int64_t> tokens;
  at::Tensor logits;  // of all of them
};

// The likeliest tokens after a prompt, as `bitloop generate` takes them.
Said greedy(Transformer& model, const ForwardContext& context) {
  KeyValueCache cache = model.make_cache(12);
  const auto prompt =
      model.prefill(at::tensor(std::vector<int64_t>{3, 1, 4}, at::kLong), cache, context);
  EXPECT_TRUE(prompt) << prompt.error().message;
  Said said;
  std::vector<at::Tensor> all = {*model.logits(prompt->narrow(0, 2, 1), context)};
  while (true) {
    said.tokens.push_back(all.back().narrow(1, 0, 17).argmax().item<int64_t>());
    if (cache.length == 11) break;
    KeyValueCache* const caches[] = {&cache};
    const at::Tensor next = at::tensor(std::vector<int64_t>{said.tokens.back()}, at::kLong);
    all.push_back(*model.logits(*model.decode(next, caches, context), context));
  }
  said.logits = at::cat(all);
  return said;
}

// A model, its packed file, and how such a file is read where it lies.
struct Packed {
  Packed(const std::string& name, at::ScalarType floats)
      : quantizer(shipped_quantizer(name)), model(middle_model(), /*quantize_head=*/false, 5) {
    init_layers(model, *quantizer);
    context = {
        .quantizer = quantizer.get(), .step = 9, .total_steps = 9, .products = Products::kFloat32};
    EXPECT_TRUE(model.quantize_weights(context)) << name;
    file = file_of(pack_model(model, &quantizer->format(), floats), {});
    context.as_stored = true;
  }
  std::unique_ptr<lua::Quantizer> quantizer;
  Transformer model;
  ForwardContext context;
  std::string file;
};

void expect_the_same(const std::string& name, at::ScalarType floats) {
  Packed made(name, floats);
  auto& [quantizer, model, context, file] = made;
  const lua::Format* format = &quantizer->format();
  Transformer in_place = Transformer::empty(middle_model(), false),
              whole = Transformer::empty(middle_model(), false);
  const Status placed = unpack(file, in_place, format, Unpack::kInPlace);
  ASSERT_TRUE(placed) << name << ": " << placed.error().message;
  ASSERT_TRUE(unpack(file, whole, format, Unpack::kWhole));
  for (Transformer* each : {&in_place, &whole}) ASSERT_TRUE(each->quantize_weights(context));
  for (BitLinear* layer : whole.bitlinears())
    if (layer->stored) layer->product = std::make_shared<Unpacked>(*layer->stored);
  for (BitLinear* layer : in_place.bitlinears())
    if (format->quantizes_weights) {
      EXPECT_FALSE(layer->stored || layer->weight_operand.value.defined()) << name;
      EXPECT_FALSE(layer->weight.is_non_overlapping_and_dense()) << name << ": floats in memory";
    }
  const Said packed = greedy(in_place, context), unpacked = greedy(whole, context);
  EXPECT_EQ(packed.tokens.size(), 9u);
  EXPECT_EQ(packed.tokens, unpacked.tokens) << name;
  EXPECT_TRUE(at::equal(packed.logits, unpacked.logits)) << name;
  if (floats == at::kFloat) {  // and the model that was packed, without a file
    ASSERT_TRUE(model.quantize_weights(context));
    EXPECT_TRUE(at::equal(greedy(model, context).logits, packed.logits)) << name;
  }
}

TEST(InPlace, EveryQuantizersModelSaysTheSameTokenForToken) {
  const at::NoGradGuard no_grad;
  for (const std::string& name : zoo()) expect_the_same(name, at::kFloat);
  for (const char* name : {"ternary", "flat_group", "float"}) expect_the_same(name, at::kBFloat16);
}

// The way of a GPU, with plain loops for its kernel: integers are exact there too, sums of floats
// are added in another order.
TEST(InPlace, ADevicesProductsSayTheSame) {
  const at::NoGradGuard no_grad;
  const auto kernels = kernels::reference_kernels();
  for (const std::string& name : zoo()) {
    const Packed made(name, at::kBFloat16);
    const auto& [quantizer, model, context, file] = made;
    Transformer here = Transformer::empty(middle_model(), false),
                there = Transformer::empty(middle_model(), false);
    for (Transformer* each : {&here, &there}) {
      ASSERT_TRUE(unpack(file, *each, &quantizer->format(), Unpack::kInPlace));
      ASSERT_TRUE(each->quantize_weights(context));
    }
    ASSERT_TRUE(there.serve_on(at::kCPU, *kernels)) << name;
    const Said want = greedy(here, context), got = greedy(there, context);
    EXPECT_EQ(got.tokens, want.tokens) << name;
    EXPECT_LT((got.logits - want.logits).abs().max().item<float>(), 2e-4) << name;
  }
}

TEST(InPlace, WhatStaysPackedCantBeUsedOtherwise) {
  const at::NoGradGuard no_grad;
  const auto quantizer = quantizer_from(kTernaryLua);
  Transformer model(small_model(), false, 5);
  const ForwardContext context{.quantizer = quantizer.get()};
  ASSERT_TRUE(model.quantize_weights(context));
  const std::string file = file_of(pack_model(model, &quantizer->format(), at::kFloat), {});
  Transformer other = Transformer::empty(small_model(), false);
  ASSERT_TRUE(unpack(file, other, &quantizer->format(), Unpack::kInPlace));
  EXPECT_THROW((void)other.quantize_weights(context), c10::Error);
}

}  // namespace
}  // namespace bitloop::trainer
