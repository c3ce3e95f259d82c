#include "harness/baselines/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>
#include <vector>

namespace bitloop::baselines {
namespace {

// Losses that differ by less differ by the rounding of double alone.
constexpr double kRounding = 1e-12;

}  // namespace

std::optional<Spread> spread_of(std::span<const double> values) {
  if (values.empty()) return {};
  Spread spread;
  spread.count = values.size();
  const auto n = static_cast<double>(values.size());
  const auto [low, high] = std::ranges::minmax_element(values);
  spread.low = *low;
  spread.high = *high;
  spread.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() == 1) return spread;
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  // What rounding alone can make of equal values is no spread.
  spread.sd = spread.high - spread.low < kRounding ? 0.0 : std::sqrt(squares / (n - 1));
  return spread;
}

std::optional<PairedDifference> paired_difference(std::span<const double> a,
                                                  std::span<const double> b) {
  std::vector<double> differences;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) differences.push_back(b[i] - a[i]);
  const auto spread = spread_of(differences);
  if (!spread) return {};
  PairedDifference result;
  result.pairs = spread->count;
  result.mean = spread->mean;
  if (!spread->sd) return result;
  const double error = *spread->sd / std::sqrt(static_cast<double>(spread->count));
  const double reach = error * t_quantile((1 + kConfidence) / 2, spread->count - 1);
  result.standard_error = error;
  result.low = spread->mean - reach;
  result.high = spread->mean + reach;
  if (error > 0) {
    const boost::math::students_t distribution(static_cast<double>(spread->count - 1));
    result.p_value =
        2 * boost::math::cdf(boost::math::complement(distribution, std::abs(spread->mean) / error));
  } else {
    result.p_value = std::abs(spread->mean) < kRounding ? 1.0 : 0.0;
  }
  return result;
}

std::optional<PooledSpread> pooled_spread(std::span<const Spread> groups) {
  double squares = 0;
  size_t freedom = 0;
  for (const Spread& group : groups) {
    if (!group.sd) continue;
    squares += *group.sd * *group.sd * static_cast<double>(group.count - 1);
    freedom += group.count - 1;
  }
  if (freedom == 0) return {};
  return PooledSpread{std::sqrt(squares / static_cast<double>(freedom)), freedom};
}

double noise_of_one_run(const PooledSpread& floor, size_t seeds) {
  return t_quantile((1 + kConfidence) / 2, floor.degrees_of_freedom) * floor.sd *
         std::sqrt(1 + 1 / static_cast<double>(std::max<size_t>(1, seeds)));
}

double t_quantile(double probability, size_t degrees_of_freedom) {
  const boost::math::students_t distribution(static_cast<double>(degrees_of_freedom));
  return boost::math::quantile(distribution, probability);
}

}  // namespace bitloop::baselines
