#include "trainer/shell/show.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::trainer::shell {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(ShellShow, TensorsLikePyTorch) {
  EXPECT_EQ(show_tensor(at::tensor({1.5f, -2.f})), "[ 1.5000, -2.0000]\nTensor(2)");
  EXPECT_EQ(show_tensor(at::scalar_tensor(3)), "3");
  EXPECT_EQ(show_tensor(at::zeros({2, 0})), "Tensor(2, 0) []");
  EXPECT_EQ(show_tensor(at::tensor({1e-9f, 1.f})), "[1.0000e-09, 1.0000e+00]\nTensor(2)");
  EXPECT_EQ(show_tensor(at::full({1}, NAN)), "[nan]\nTensor(1)");
  EXPECT_EQ(show_tensor(at::arange(1001, at::kFloat)),
            "[   0,    1,    2, ...,  998,  999, 1000]\nTensor(1001)");
  EXPECT_THAT(show_tensor(at::zeros({2, 2, 2})), StartsWith("[[[0, 0],\n  [0, 0]],\n\n [[0, 0],"));
}

TEST(ShellShow, Histograms) {
  EXPECT_EQ(show_histogram(at::full({3}, 2.0), 4, ""),
            "2 100.00% ████████████████████████████████████████\n");
  EXPECT_THAT(show_histogram(at::tensor({1.f, NAN, 2.f}), 2, ""),
              HasSubstr("1 of 3 are not finite"));
  EXPECT_EQ(show_histogram(at::full({2}, INFINITY), 2, " "), " no finite numbers\n");
}

}  // namespace
}  // namespace bitloop::trainer::shell
