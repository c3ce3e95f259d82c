#include "trainer/kernels/adamw.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitloop::kernels {
namespace {

// PyTorch's fused kernel as the oracle, over sizes with and without whole vectors and pieces.
TEST(Adamw, StepsAsPytorchDoes) {
  at::manual_seed(1);
  const std::vector<int64_t> sizes = {1, 7, 64, 16'384, 40'003};
  std::vector<at::Tensor> p, m, v, p_ours, m_ours, v_ours;
  for (const int64_t n : sizes) {
    p.push_back(at::randn({n}));
    m.push_back(at::zeros({n}));
    v.push_back(at::zeros({n}));
    p_ours.push_back(p.back().clone());
    m_ours.push_back(m.back().clone());
    v_ours.push_back(v.back().clone());
  }
  for (int step = 1; step <= 5; ++step) {
    std::vector<at::Tensor> g, count;
    std::vector<AdamwTensor> tensors;
    for (size_t i = 0; i < sizes.size(); ++i) {
      g.push_back(at::randn({sizes[i]}) * 0.01);
      count.push_back(at::full({}, step, at::kFloat));
      tensors.push_back({.parameter = p_ours[i].data_ptr<float>(),
                         .first = m_ours[i].data_ptr<float>(),
                         .second = v_ours[i].data_ptr<float>(),
                         .gradient = g[i].const_data_ptr<float>(),
                         .n = sizes[i],
                         .rate = 0.01,
                         .weight_decay = 0.1});
    }
    adamw(tensors, {.beta1 = 0.9, .beta2 = 0.95, .step = step, .gradient_factor = 0.5});
    at::_foreach_mul_(g, 0.5);
    at::_fused_adamw_(p, g, m, v, {}, count, 0.01, 0.9, 0.95, 0.1, 1e-8, false, false);
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_LE((p[i] - p_ours[i]).abs().max().item<float>(), 1e-6) << sizes[i];
    EXPECT_TRUE(at::allclose(m[i], m_ours[i], 1e-5, 1e-9)) << sizes[i];
    EXPECT_TRUE(at::allclose(v[i], v_ours[i], 1e-5, 1e-12)) << sizes[i];
  }
}

TEST(Adamw, SumsSquaresOfAllTensors) {
  const at::Tensor a = at::randn({33'001}), b = at::full({5}, 1e30);
  const auto square = [](const at::Tensor& x) { return x.to(at::kDouble).square().sum().item<double>(); };
  const auto tensor = [](const at::Tensor& x) {
    return AdamwTensor{.gradient = x.const_data_ptr<float>(), .n = x.numel()};
  };
  EXPECT_NEAR(sum_of_squares(std::vector{tensor(a)}), square(a), 1e-9 * square(a));
  const std::vector both = {tensor(a), tensor(b)};
  EXPECT_NEAR(sum_of_squares(both), square(b), 1e-9 * square(b));  // beyond float32's range
  EXPECT_EQ(sum_of_squares({}), 0.0);
  const at::Tensor bad = at::full({9}, std::nanf(""));
  EXPECT_TRUE(std::isnan(sum_of_squares(std::vector{tensor(bad)})));
}

}  // namespace
}  // namespace bitloop::kernels
