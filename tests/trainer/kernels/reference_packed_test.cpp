// What a device's packed product has to give, against the processor's own.
#include "trainer/kernels/reference_packed.h"

#include <gtest/gtest.h>

#include "tests/trainer/kernels/packed_weights.h"

namespace bitloop::kernels {
namespace {

TEST(ReferencePacked, SumsOfIntegersAreTheProcessors) {
  std::mt19937 random(3);
  for (const int levels : kSomeLevels)
    for (const int64_t K : {1, 31, 128, 330})
      for (const bool by_row : {false, true}) {
        const PackedCase made(levels, 7, K, 3, PlacedNumbers::kOne, false, by_row, random);
        std::vector<float> y(3 * 7);
        reference_packed_product(made.integers(y.data()));
        const PackedIntegers weight(made.codes.packed, made.narrow);
        std::vector<int32_t> sums(y.size());
        weight.multiply(made.x_codes.data(), 3, sums.data());
        for (size_t i = 0; i < y.size(); ++i)
          ASSERT_EQ(y[i], static_cast<float>(sums[i]) *
                                  (made.x_scale[i / 7] * made.w_scale[by_row ? i % 7 : 0]) +
                              made.bias[i % 7])
              << levels << " levels, K " << K;
      }
}

TEST(ReferencePacked, ValuesAreTheProcessors) {
  std::mt19937 random(4);
  for (const int levels : kSomeLevels)
    for (const auto kind : {PlacedNumbers::kOne, PlacedNumbers::kRows, PlacedNumbers::kGroups,
                            PlacedNumbers::kFlatGroups})
      for (const bool codebook : {false, true}) {
        const PackedCase made(levels, 5, 96, 2, kind, codebook, false, random);
        std::vector<float> got(2 * 5), want(2 * 5);
        reference_packed_product(made.floats(got.data()));
        made.processor().multiply(made.x.data(), 2, want.data());
        for (size_t i = 0; i < got.size(); ++i)
          ASSERT_NEAR(got[i], want[i] + made.bias[i % 5], 1e-4)
              << levels << " levels, kind " << kind;
      }
}

}  // namespace
}  // namespace bitloop::kernels
