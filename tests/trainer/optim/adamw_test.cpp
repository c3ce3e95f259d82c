#include "trainer/optim/adamw.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::trainer {
namespace {

// Algorithm 2 of the paper on one number, in double.
struct Reference {
  double p, m = 0, v = 0;
  int t = 0;
  void step(double g, double rate, double decay) {
    ++t;
    p -= rate * decay * p;
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g * g;
    p -= rate * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-8);
  }
};

TEST(AdamW, FollowsThePaper) {
  const at::Tensor a = at::tensor({1.0f}).requires_grad_(true),
                   b = at::tensor({-2.0f}).requires_grad_(true);
  AdamW optimizer({{a, 1.0, 0.1}, {b, 0.5, 0.0}}, {.grad_clip = 0.0});
  Reference ra{1.0}, rb{-2.0};
  for (int i = 0; i < 20; ++i) {
    const double g = std::sin(i) + 0.3;
    a.mutable_grad() = at::tensor({static_cast<float>(g)});
    b.mutable_grad() = at::tensor({static_cast<float>(2 * g)});
    optimizer.step(0.01);
    ra.step(static_cast<float>(g), 0.01, 0.1);
    rb.step(static_cast<float>(2 * g), 0.005, 0.0);
  }
  EXPECT_NEAR(a.item<float>(), ra.p, 2e-6);
  EXPECT_NEAR(b.item<float>(), rb.p, 2e-6);
}

TEST(AdamW, ClipsByTheGlobalNormAndReturnsIt) {
  const at::Tensor a = at::zeros({1}).requires_grad_(true), b = at::zeros({1}).requires_grad_(true);
  a.mutable_grad() = at::tensor({3.0f});
  b.mutable_grad() = at::tensor({4.0f});
  AdamW optimizer({{a}, {b}}, {.grad_clip = 1.0});
  EXPECT_DOUBLE_EQ(optimizer.step(0.1), 5.0);
  EXPECT_FALSE(a.grad().defined());
}

TEST(AdamW, ByOperationsItIsTheSame) {
  at::manual_seed(2);
  std::vector<AdamW::Slot> first, second;
  for (const auto& [shape, lr_scale, decay] : {std::tuple{std::vector<int64_t>{40, 30}, 1.0, 0.1},
                                               {std::vector<int64_t>{40}, 1.0, 0.0},
                                               {std::vector<int64_t>{}, 3.0, 0.0}}) {
    const at::Tensor start = at::randn(shape);
    for (auto* slots : {&first, &second})
      slots->push_back({start.clone().requires_grad_(true), lr_scale, decay});
  }
  const TrainConfig config{.grad_clip = 2.0};
  AdamW by_kernels(first, config), by_operations(second, config);
  for (int i = 0; i < 20; ++i) {
    for (size_t k = 0; k < first.size(); ++k) {
      const at::Tensor gradient = at::randn(first[k].parameter.sizes()) * (i % 2 == 0 ? 1.0 : 0.01);
      if (k == 1 && i == 3) continue;  // none arrives
      first[k].parameter.mutable_grad() = gradient;
      second[k].parameter.mutable_grad() = gradient.clone();
    }
    const double norm = by_kernels.step(0.01);
    EXPECT_NEAR(by_operations.step_by_operations(0.01), norm, 1e-5 * norm);
    EXPECT_FALSE(second[0].parameter.grad().defined());
  }
  // A step moves a number by at most about the rate, with an error of a few roundings.
  for (size_t k = 0; k < first.size(); ++k)
    EXPECT_TRUE(at::allclose(first[k].parameter, second[k].parameter, 1e-5, 20 * 0.03 * 1e-5));
  const auto kept = by_kernels.moments(), also = by_operations.moments();
  for (size_t i = 0; i < kept.size(); ++i)
    EXPECT_TRUE(at::allclose(kept[i].second, also[i].second, 1e-4, 1e-7)) << kept[i].first;
  second[0].parameter.mutable_grad() = at::full({40, 30}, 1e30f);
  EXPECT_FALSE(std::isfinite(by_operations.step_by_operations(0.01)));
  EXPECT_TRUE(at::allclose(first[0].parameter, second[0].parameter, 1e-5, 1e-5));
}

TEST(AdamW, AGradientWhoseSquareIsNotFiniteUpdatesNothing) {
  const at::Tensor a = at::tensor({1.0f}).requires_grad_(true);
  a.mutable_grad() = at::tensor({1e30f});
  AdamW optimizer({{a, 1.0, 0.1}}, {.grad_clip = 0.0});
  EXPECT_FALSE(std::isfinite(optimizer.step(0.1)));
  EXPECT_EQ(a.item<float>(), 1.0f);
}

TEST(AdamW, AGradientThatIsNotFiniteUpdatesNothing) {
  const at::Tensor a = at::tensor({1.0f}).requires_grad_(true);
  a.mutable_grad() = at::tensor({NAN});
  AdamW optimizer({{a, 1.0, 0.1}}, {});
  EXPECT_FALSE(std::isfinite(optimizer.step(0.1)));
  EXPECT_EQ(a.item<float>(), 1.0f);
}

}  // namespace
}  // namespace bitloop::trainer
