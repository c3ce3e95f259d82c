#include "trainer/model/code_tensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

// LibTorch's operations against the kernels, on the CPU: what a GPU computes by the former is what
// the latter give.
namespace bitloop::trainer {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<double> run_of(int low, int high) {
  std::vector<double> levels(static_cast<size_t>(high - low + 1));
  std::iota(levels.begin(), levels.end(), low);
  return levels;
}

// Of few levels and of many, even and uneven.
std::vector<std::vector<double>> level_sets() {
  std::vector<double> uneven;
  for (int i = -20; i <= 20; ++i) uneven.push_back(std::copysign(std::pow(std::abs(i), 1.5), i));
  return {{-1, 1},           {-1, 0, 1}, {-1, -1.0 / 3, 1.0 / 3, 1},      run_of(-8, 7),
          run_of(-128, 127), uneven,     {-1.0, -1.0 + 1.5e-6, 0.0, 5e-7}};  // nearer to each other
                                                                             // than codes to levels
}

// Levels, and what is a little beside them: within 1e-6 or not.
at::Tensor codes_of(const std::vector<double>& levels, double noise) {
  const at::Tensor all = at::tensor(levels, at::kDouble).to(at::kFloat);
  const at::Tensor codes = all.index_select(0, at::randint(all.numel(), {5000}, at::kLong));
  return (codes + at::randn(codes.sizes()) * noise).view({50, 100}).contiguous();
}

void expect_same(const codes::Checked& got, const codes::Checked& want, const std::string& what) {
  EXPECT_EQ(got.bad, want.bad) << what;
  if (want.bad >= 0 || got.bad >= 0) return;
  EXPECT_EQ(got.made.scalar_type(), want.made.scalar_type()) << what;
  EXPECT_TRUE(at::equal(got.made, want.made)) << what;
}

TEST(CodeTensors, CodesSnapToTheSameLevels) {
  at::manual_seed(1);
  for (const std::vector<double>& levels : level_sets()) {
    for (const double noise : {0.0, 1e-7, 3e-7, 1e-3}) {
      const at::Tensor codes = codes_of(levels, noise);
      expect_same(codes::operations::snap_to_levels(codes, levels),
                  codes::snap_to_levels(codes, levels), testing::PrintToString(levels));
    }
    for (const float odd : {NAN, kInfinity, -kInfinity, 0.4f, -1000.0f, 1000.0f, 1e-6f, -0.0f}) {
      at::Tensor codes = codes_of(levels, 0.0);
      codes[3][7] = odd;
      expect_same(codes::operations::snap_to_levels(codes, levels),
                  codes::snap_to_levels(codes, levels),
                  testing::PrintToString(levels) + " " + std::to_string(odd));
    }
  }
}

TEST(CodeTensors, IntegersAreTheSame) {
  at::manual_seed(2);
  for (const double noise : {0.0, 1e-7, 1e-3})
    for (const auto& [factor, low, high] :
         {std::tuple{1.0f, -128, 127}, {1.0f, -8, 7}, {3.0f, -127, 127}, {16.0f, -127, 127}}) {
      const at::Tensor codes =
          codes_of(run_of(low, high), 0.0) / factor + at::randn({50, 100}) * noise;
      expect_same(codes::operations::pack_int8(codes, factor, low, high),
                  codes::pack_int8(codes, factor, low, high), std::to_string(noise));
      EXPECT_EQ(codes::operations::find_non_integer(codes * factor, static_cast<float>(low),
                                                    static_cast<float>(high)),
                codes::find_non_integer(codes * factor, static_cast<float>(low),
                                        static_cast<float>(high)));
    }
  for (const float odd : {NAN, kInfinity, -kInfinity, 0.5f, 1.5f, 128.0f, -129.0f, 127.9999995f}) {
    at::Tensor codes = codes_of(run_of(-128, 127), 0.0);
    codes[49][99] = odd;
    expect_same(codes::operations::pack_int8(codes, 1.0f, -128, 127),
                codes::pack_int8(codes, 1.0f, -128, 127), std::to_string(odd));
    EXPECT_EQ(codes::operations::find_non_integer(codes, -128, 127),
              codes::find_non_integer(codes, -128, 127))
        << odd;
  }
}

TEST(CodeTensors, NumbersAreStoredTheSame) {
  at::manual_seed(3);
  const at::Tensor exponents = at::randint(-26, 15, {4096}).to(at::kFloat);
  const at::Tensor numbers = at::randn({4096}) * at::exp2(exponents);
  // Ties between two numbers of float16, small ones of it, and the largest.
  const at::Tensor odd = at::tensor(
      {1.0f + 0x1p-11f, 1.0f + 0x3p-11f, 0x1p-24f, 0x1p-25f, 0x3p-25f, 65504.0f, 65519.0f, -0.0f});
  for (const at::Tensor& given : {numbers, odd})
    for (const bool float16 : {true, false})
      EXPECT_TRUE(at::equal(codes::operations::round_stored(given, float16),
                            codes::round_stored(given, float16)));
  for (const float bad : {65520.0f, NAN, kInfinity}) {
    const at::Tensor given = at::tensor({1.0f, bad});
    for (const bool float16 : {true, false})
      EXPECT_EQ(codes::operations::round_stored(given, float16).defined(),
                codes::round_stored(given, float16).defined());
  }
}

TEST(CodeTensors, ProductsAreTheSame) {
  at::manual_seed(4);
  const auto codes = [](at::IntArrayRef shape) { return at::randint(-128, 128, shape, at::kChar); };
  for (const auto& [R, N, K] : {std::tuple{40, 48, 64}, {3, 5, 7}, {17, 8, 1024}}) {
    const at::Tensor x = codes({R, K}), w = codes({N, K});
    const at::Tensor acc = codes::multiply(x, w);
    EXPECT_TRUE(at::equal(codes::operations::multiply(x, w), acc));
    for (const bool rows : {true, false}) {
      const at::Tensor x_scale = at::rand({rows ? R : 1}) + 0.1,
                       w_scale = at::rand({rows ? N : 1}) + 0.1, bias = at::randn({N});
      const at::Tensor got = codes::operations::scale_products(acc, x_scale, w_scale, bias),
                       want = codes::scale_products(acc, x_scale, w_scale, bias);
      // Three roundings of the product, one of the sum.
      const at::Tensor bound = (want.abs() + bias.abs()) * 0x1p-22;
      EXPECT_TRUE((got - want).abs().le(bound).all().item<bool>());
      const at::Tensor dy = at::randn({R, N});
      const auto [column, row] =
          codes::operations::scale_to_bfloat16(dy, x_scale, w_scale, true, true);
      const auto [wanted_column, wanted_row] =
          codes::scale_to_bfloat16(dy, x_scale, w_scale, true, true);
      EXPECT_TRUE(at::equal(column, wanted_column));
      EXPECT_TRUE(at::equal(row, wanted_row));
      EXPECT_FALSE(
          codes::operations::scale_to_bfloat16(dy, x_scale, w_scale, false, true).first.defined());
    }
  }
}

TEST(CodeTensors, PlacesInACodebookAreTheSame) {
  at::manual_seed(3);
  for (const int64_t K : {7, 12, 300}) {
    const at::Tensor codebook = at::randn({6, (K + 3) / 4, 5});
    at::Tensor places = at::randint(5, {6, K}, at::kFloat) + at::randn({6, K}) * 1e-7;
    const codes::LookedUp got = codes::look_up(places, codebook, 4),
                          want = codes::operations::look_up(places, codebook, 4);
    EXPECT_EQ(got.bad, want.bad);
    EXPECT_TRUE(at::equal(got.codes, want.codes));
    EXPECT_TRUE(at::equal(got.value, want.value));
    for (const float bad : {-1.0f, 5.0f, 0.5f, kInfinity, std::nanf("")}) {
      places[4][3] = bad;
      EXPECT_EQ(codes::look_up(places, codebook, 4).bad, 4 * K + 3);
      EXPECT_EQ(codes::operations::look_up(places, codebook, 4).bad, 4 * K + 3);
    }
  }
}

}  // namespace
}  // namespace bitloop::trainer
