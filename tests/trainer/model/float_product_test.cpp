#include "trainer/model/float_product.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::trainer {
namespace {

TEST(FloatProduct, IsTheProductInDoubleWithinItsRounding) {
  const at::NoGradGuard no_grad;
  for (const auto& [R, N, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                {63, 96, 32},
                                {64, 64, 256},
                                {65, 130, 257},
                                {200, 32, 700}}) {
    if (!warm_float_product(N, K)) GTEST_SKIP() << "no block products on this processor";
    const at::Tensor x = at::randn({R, K}), w = at::randn({N, K}), bias = at::randn({N});
    const auto packed = FloatWeight::pack(w);
    ASSERT_TRUE(packed);
    const at::Tensor wanted = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
    // K products, each rounded, and their sum in any order: K eps |x| |w| at most.
    const at::Tensor bound = at::mm(x.abs().to(at::kDouble), w.abs().to(at::kDouble).t()) *
                                 (static_cast<double>(K) * std::ldexp(1.0, -24)) +
                             1e-6;
    EXPECT_TRUE((packed->multiply(x, std::nullopt).to(at::kDouble) - wanted)
                    .abs()
                    .le(bound)
                    .all()
                    .item<bool>());
    EXPECT_TRUE((packed->multiply(x, bias).to(at::kDouble) - wanted - bias)
                    .abs()
                    .le(bound)
                    .all()
                    .item<bool>());
    // From a weight that lies transposed, as Hugging Face's do.
    EXPECT_TRUE(at::equal(FloatWeight::pack(w.t().contiguous().t())->multiply(x, bias),
                          packed->multiply(x, bias)));
  }
}

TEST(FloatProduct, ARowsNumbersAreItsOwn) {
  const at::NoGradGuard no_grad;
  if (!warm_float_product(96, 300)) GTEST_SKIP() << "no block products on this processor";
  const at::Tensor x = at::randn({150, 300}), w = at::randn({96, 300});
  const auto packed = FloatWeight::pack(w);
  const at::Tensor all = packed->multiply(x, std::nullopt);
  const at::Tensor order = at::randperm(150);
  EXPECT_TRUE(at::equal(packed->multiply(x.index_select(0, order), std::nullopt),
                        all.index_select(0, order)));
  EXPECT_TRUE(at::equal(packed->multiply(x.narrow(0, 77, 3), std::nullopt), all.narrow(0, 77, 3)));
}

TEST(FloatProduct, OfAShapeThatWasNotMetThereIsNone) {
  EXPECT_EQ(FloatWeight::pack(at::ones({7, 5})), nullptr);
}

}  // namespace
}  // namespace bitloop::trainer
