#include "harness/baselines/statistics.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitloop::baselines {
namespace {

// Reference numbers: SciPy 1.17.1 (stats.t.ppf, stats.ttest_rel and its confidence_interval).
TEST(Statistics, QuantilesAreThoseOfScipy) {
  EXPECT_NEAR(t_quantile(0.975, 1), 12.706204736174694, 1e-9);
  EXPECT_NEAR(t_quantile(0.975, 2), 4.302652729749462, 1e-10);
  EXPECT_NEAR(t_quantile(0.975, 9), 2.262157162798205, 1e-10);
  EXPECT_NEAR(t_quantile(0.95, 4), 2.1318467863266495, 1e-10);
  EXPECT_NEAR(t_quantile(0.5, 3), 0.0, 1e-12);
  EXPECT_NEAR(t_quantile(0.995, 30), 2.7499956535672254, 1e-10);
}

TEST(Statistics, PairedDifferenceIsThatOfScipy) {
  const std::vector<double> a = {1.781, 1.779, 1.7855, 1.7802};
  const std::vector<double> b = {1.7745, 1.776, 1.7801, 1.7760};
  const auto found = paired_difference(a, b);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->pairs, 4u);
  EXPECT_NEAR(found->mean, -0.004775, 1e-12);
  EXPECT_NEAR(*found->standard_error, 0.0007553972464869242, 1e-12);
  EXPECT_NEAR(*found->p_value, 0.008003309723424262, 1e-11);
  EXPECT_NEAR(*found->low, -0.007179011176103771, 1e-11);
  EXPECT_NEAR(*found->high, -0.0023709888238961758, 1e-11);
  EXPECT_TRUE(found->beyond_noise());
}

TEST(Statistics, ADifferenceOfChanceIsInsideTheNoise) {
  const std::vector<double> a = {1.71, 1.72, 1.70};
  const std::vector<double> b = {1.712, 1.715, 1.706};
  const auto found = paired_difference(a, b);
  EXPECT_NEAR(*found->p_value, 0.7851655377881603, 1e-9);
  EXPECT_NEAR(*found->low, -0.012831093423845431, 1e-10);
  EXPECT_FALSE(found->beyond_noise());
}

TEST(Statistics, OnePairHasNoErrorAndNoValueNone) {
  const auto one = paired_difference(std::vector{1.0}, std::vector{1.5});
  EXPECT_EQ(one->mean, 0.5);
  EXPECT_FALSE(one->standard_error || one->p_value || one->low);
  EXPECT_FALSE(one->beyond_noise());
  EXPECT_FALSE(paired_difference({}, {}));
  EXPECT_FALSE(spread_of({}));
  EXPECT_FALSE(spread_of(std::vector{3.0})->sd);
}

// Equal seeds give equal bits, so a difference can lack all spread; decimals leave rounding in it.
TEST(Statistics, WithoutSpreadTheDifferenceIsCertain) {
  const std::vector<double> a = {1.781, 1.782, 1.783};
  const std::vector<double> lower = {1.761, 1.762, 1.763};
  const auto same = paired_difference(a, a);
  EXPECT_EQ(*same->p_value, 1.0);
  EXPECT_FALSE(same->beyond_noise());
  const auto shifted = paired_difference(a, lower);
  EXPECT_EQ(*shifted->standard_error, 0.0);
  EXPECT_EQ(*shifted->p_value, 0.0);
  EXPECT_TRUE(shifted->beyond_noise());
}

TEST(Statistics, SpreadIsOfTheSample) {
  const auto spread = spread_of(std::vector{2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0});
  EXPECT_EQ(spread->mean, 5.0);
  EXPECT_NEAR(*spread->sd, 2.138089935299395, 1e-12);  // the root of 32 / 7
  EXPECT_EQ(spread->low, 2.0);
  EXPECT_EQ(spread->high, 9.0);
}

TEST(Statistics, PoolingWeighsByDegreesOfFreedom) {
  const std::vector<Spread> groups = {*spread_of(std::vector{1.0, 1.2, 1.1}),
                                      *spread_of(std::vector{2.0, 2.4}),
                                      *spread_of(std::vector{3.0})};
  const auto pooled = pooled_spread(groups);
  EXPECT_NEAR(pooled->sd, 0.18257418583505533, 1e-12);  // NumPy: the root of (0.02 + 0.08) / 3
  EXPECT_EQ(pooled->degrees_of_freedom, 3u);
  EXPECT_FALSE(pooled_spread(std::span(groups).last(1)));
  EXPECT_NEAR(noise_of_one_run({0.003, 20}, 3), 0.007225989346791997, 1e-12);
}

}  // namespace
}  // namespace bitloop::baselines
