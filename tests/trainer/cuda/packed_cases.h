// Packed products that a device's kernel is compared on.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/trainer/kernels/packed_weights.h"
#include "trainer/kernels/reference_packed.h"

namespace bitloop::trainer {

using kernels::PackedCase;
using kernels::PlacedNumbers;

// Every layout of codes, places of scales, a row or two more than a warp holds sums of.
template <typename Run>
void each_case(const Run& run) {
  std::mt19937 random(9);
  for (const int levels : kernels::kSomeLevels)
    for (const auto kind : {PlacedNumbers::kOne, PlacedNumbers::kRows, PlacedNumbers::kGroups,
                            PlacedNumbers::kFlatGroups}) {
      const bool codebook = levels <= 16 && kind == PlacedNumbers::kRows;
      const PackedCase made(levels, 9, levels == 3 ? 357 : 160, 1 + levels % 6, kind, codebook,
                            levels % 2 != 0, random);
      SCOPED_TRACE(
          fmt::format("{} levels, kind {}, {} rows", levels, static_cast<int>(kind), made.rows));
      run(made);
    }
}

inline void compare(const std::vector<float>& got, const std::vector<float>& want, bool exactly) {
  for (size_t i = 0; i < got.size(); ++i) {
    if (exactly)
      ASSERT_EQ(got[i], want[i]) << i;
    else
      ASSERT_NEAR(got[i], want[i], 1e-3) << i;
  }
}

}  // namespace bitloop::trainer
