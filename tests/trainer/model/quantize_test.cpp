#include "trainer/model/quantize.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

lua::Format ternary() {
  lua::Format format;
  format.levels = {-1, 0, 1};
  format.quantizes_weights = format.quantizes_activations = true;
  return format;
}

const at::Tensor kW = at::tensor({0.9f, -0.2f, 0.1f, -1.1f, 0.4f, 0.0f}).view({2, 3});

lua::Quantized rounded(const at::Tensor& scale) {
  lua::Quantized q;
  q.codes = kW.round().clamp(-1, 1);
  q.scale = scale;
  return q;
}

Error weight_error(const lua::Quantized& q, const lua::Format& format) {
  const auto made = make_weight_operand(q, kW, format, "h.0.attn.c_attn");
  return made ? Error{"ok", ""} : made.error();
}

TEST(WeightOperand, ValueIsCodesTimesTheRoundedScale) {
  const auto operand = make_weight_operand(rounded(at::tensor(0.1f)), kW, ternary(), "l");
  ASSERT_TRUE(operand);
  const float scale = at::tensor(0.1f).to(at::kHalf).item<float>();  // float16 has no 0.1
  EXPECT_NE(scale, 0.1f);
  EXPECT_TRUE(at::equal(operand->value, kW.round().clamp(-1, 1) * scale));
  EXPECT_EQ(operand->stored_numbers, 1);
  EXPECT_TRUE(operand->codes_int8.defined());
}

TEST(WeightOperand, RowAndGroupScales) {
  auto operand =
      make_weight_operand(rounded(at::tensor({0.5f, 2.0f}).view({2, 1})), kW, ternary(), "l");
  ASSERT_TRUE(operand);
  EXPECT_TRUE(at::equal(operand->value[1], kW[1].round().clamp(-1, 1) * 2));
  lua::Format grouped = ternary();
  grouped.group = 2;  // the last group of a row of 3 is short
  operand =
      make_weight_operand(rounded(at::tensor({1.f, 2.f, 4.f, 8.f}).view({2, 2})), kW, grouped, "l");
  ASSERT_TRUE(operand) << operand.error().message;
  EXPECT_TRUE(
      at::equal(operand->value,
                kW.round().clamp(-1, 1) * at::tensor({1.f, 1.f, 2.f, 4.f, 4.f, 8.f}).view({2, 3})));
  EXPECT_FALSE(operand->codes_int8.defined());
  grouped.flat_groups = true;
  grouped.group = 4;  // 6 weights: two groups, the second crosses into row 2 and is padded
  operand = make_weight_operand(rounded(at::tensor({1.f, 2.f}).view({2, 1})), kW, grouped, "l");
  ASSERT_TRUE(operand) << operand.error().message;
  EXPECT_TRUE(
      at::equal(operand->value,
                kW.round().clamp(-1, 1) * at::tensor({1.f, 1.f, 1.f, 1.f, 2.f, 2.f}).view({2, 3})));
}

TEST(WeightOperand, OffLevelCodesAreRejectedWithTheirPlace) {
  lua::Quantized q = rounded(at::tensor(1.0f));
  q.codes = kW;
  const Error error = weight_error(q, ternary());
  EXPECT_EQ(error.code, "rejected");
  EXPECT_THAT(error.message, HasSubstr("[0, 0]"));
  EXPECT_THAT(error.message, HasSubstr("{-1, 0, 1}"));
  EXPECT_THAT(error.message, HasSubstr("h.0.attn.c_attn"));
}

TEST(WeightOperand, ScalesFinerThanARowAreRejected) {
  EXPECT_EQ(weight_error(rounded(at::ones({2, 3})), ternary()).code,
            "rejected");  // one a weight: 16 bits hidden
  EXPECT_EQ(weight_error(rounded(at::ones({1, 3})), ternary()).code, "rejected");
  EXPECT_EQ(weight_error(rounded(at::ones({3})), ternary()).code, "rejected");
  EXPECT_EQ(weight_error(rounded(at::ones({2})), ternary()).code, "script_error");
  lua::Format flat = ternary();
  flat.flat_groups = true;
  flat.group = 5;
  EXPECT_EQ(weight_error(rounded(at::ones({2, 1})), flat).code, "ok");  // ceil(6 / 5) groups
  flat.group = 6;
  EXPECT_EQ(weight_error(rounded(at::ones({2, 1})), flat).code,
            "rejected");  // two where one is declared
}

TEST(WeightOperand, ScalesThatAreNotFiniteAreRejected) {
  for (const float bad : {NAN, INFINITY, 1e6f})
    EXPECT_EQ(weight_error(rounded(at::tensor(bad)), ternary()).code, "rejected") << bad;
  lua::Format wide = ternary();
  wide.scale_dtype = at::kFloat;
  EXPECT_EQ(weight_error(rounded(at::tensor(1e6f)), wide).code, "ok");
}

TEST(WeightOperand, WrongShapesAreScriptErrors) {
  lua::Quantized q = rounded(at::tensor(1.0f));
  q.codes = q.codes.view({3, 2});
  EXPECT_EQ(weight_error(q, ternary()).code, "script_error");
  q = rounded(at::tensor(1.0f));
  q.surrogate = at::ones({3});
  EXPECT_EQ(weight_error(q, ternary()).code, "script_error");
  EXPECT_EQ(weight_error(rounded(at::Tensor()), ternary()).code, "script_error");
}

TEST(WeightOperand, CodebookEntriesAreTheValues) {
  lua::Format format;
  format.codebook_entries = 2;
  format.codebook_block = 2;
  lua::Quantized q;
  q.codes = at::tensor({0.f, 1.f, 1.f, 1.f, 0.f, 0.f}).view({2, 3});
  q.codebook = at::arange(8, at::kFloat).view({2, 2, 2});
  const auto operand = make_weight_operand(q, kW, format, "l");
  ASSERT_TRUE(operand) << operand.error().message;
  EXPECT_TRUE(at::equal(operand->value, at::tensor({0.f, 1.f, 3.f, 5.f, 4.f, 6.f}).view({2, 3})));
  q.codes[0][0] = 2;
  EXPECT_EQ(weight_error(q, format).code, "rejected");
}

TEST(ActivationOperand, CodesAreIntegersInRange) {
  const at::Tensor x = at::randn({4, 6});
  lua::Quantized q;
  q.scale = x.abs().amax({-1}, true) / 127;
  q.codes = (x / q.scale).round();
  auto operand = make_activation_operand(q, x, ternary(), "l");
  ASSERT_TRUE(operand) << operand.error().message;
  EXPECT_TRUE(operand->codes_int8.defined());
  materialise_value(*operand, x, ternary());
  EXPECT_LT((operand->value - x).abs().max().item<float>(), x.abs().max().item<float>() / 127);
  q.codes = q.codes * 1.01;
  EXPECT_EQ(make_activation_operand(q, x, ternary(), "l").error().code, "rejected");
  lua::Format four = ternary();
  four.activation_bits = 4;
  q.codes = at::full({4, 6}, 8.0f);
  EXPECT_EQ(make_activation_operand(q, x, four, "l").error().code, "rejected");
}

TEST(ActivationOperand, AreGroupedAlongTheirRowsEvenUnderFlatGroups) {
  lua::Format flat = ternary();
  flat.flat_groups = true;
  flat.group = 4;
  const at::Tensor x = at::ones({3, 6});
  lua::Quantized q;
  q.codes = at::ones({3, 6});
  q.scale = at::tensor({1.f, 2.f, 4.f}).view({3, 1});
  auto operand = make_activation_operand(q, x, flat, "l");
  ASSERT_TRUE(operand) << operand.error().message;
  materialise_value(*operand, x, flat);
  EXPECT_TRUE(at::equal(operand->value, q.scale.expand({3, 6})));
}

TEST(ActivationOperand, GroupsThatAreAlmostSingleInputsAreRejected) {
  lua::Format fine = ternary();
  fine.group = 1;
  lua::Quantized q;
  q.codes = at::ones({3, 6});
  q.scale = at::rand({3, 6}) + 1;  // one a number: float activations
  EXPECT_EQ(make_activation_operand(q, at::ones({3, 6}), fine, "l").error().code, "rejected");
}

TEST(ActivationOperand, WhatIsNotFiniteHasDiverged) {
  const at::Tensor x = at::full({2, 3}, NAN);
  lua::Quantized q;
  q.codes = x;
  q.scale = at::ones({2, 1});
  EXPECT_EQ(make_activation_operand(q, x, ternary(), "l").error().code, "diverged");
}

TEST(ActivationOperand, FinerThanARowIsRejected) {
  const at::Tensor x = at::randn({4, 6});
  lua::Quantized q;
  q.codes = at::ones({4, 6});
  q.scale = at::ones({4, 6});
  EXPECT_EQ(make_activation_operand(q, x, ternary(), "l").error().code, "rejected");
  q.scale = at::ones({1, 6});  // static, one a column
  EXPECT_TRUE(make_activation_operand(q, x, ternary(), "l"));
}

}  // namespace
}  // namespace bitloop::trainer
