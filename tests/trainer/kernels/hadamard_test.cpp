#include "trainer/kernels/hadamard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace bitloop::kernels {
namespace {

// Sylvester's matrix has (-1)^popcount(i & j) at (i, j).
std::vector<double> by_definition(const std::vector<float>& x, size_t block) {
  std::vector<double> out(x.size(), 0.0);
  for (size_t i = 0; i < x.size(); ++i)
    for (size_t j = 0; j < block; ++j) {
      const double sign = std::popcount(i % block & j) % 2 == 0 ? 1.0 : -1.0;
      out[i] += sign * x[i / block * block + j] / std::sqrt(static_cast<double>(block));
    }
  return out;
}

TEST(BlockHadamard, EqualsTheMatrixAndIsItsOwnInverse) {
  for (const size_t block : {1, 2, 8, 64, 128}) {
    std::vector<float> x(block * 7);
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 1.3f);
    std::vector<float> out(x.size());
    const auto n = static_cast<int64_t>(x.size()), b = static_cast<int64_t>(block);
    block_hadamard(x.data(), n, b, out.data());
    const std::vector<double> expected = by_definition(x, block);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], expected[i], 1e-5) << block;
    block_hadamard(out.data(), n, b, out.data());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], x[i], 1e-5) << block;
  }
}

}  // namespace
}  // namespace bitloop::kernels
