#include "lua/tensor/hadamard.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace bitloop::lua {
namespace {

TEST(Hadamard, ByOperationsItIsTheSameToTheBit) {
  at::manual_seed(1);
  for (const int64_t block : {1, 2, 8, 16, 64, 1024, 4096}) {
    const at::Tensor x = at::randn({3, 2, 4096});
    EXPECT_TRUE(at::equal(hadamard_by_operations(x, block), block_hadamard(x, block))) << block;
    const at::Tensor turned = at::randn({4096, 3}).t();
    EXPECT_TRUE(at::equal(hadamard_by_operations(turned, block), block_hadamard(turned, block)));
  }
}

}  // namespace
}  // namespace bitloop::lua
