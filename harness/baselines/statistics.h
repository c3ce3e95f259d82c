// What few seeds can tell: spreads, paired differences, and the share of chance in them. All
// intervals and p-values are Student's t (the t distribution is Boost.Math's).
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace bitloop::baselines {

constexpr double kConfidence = 0.95;

struct Spread {
  size_t count = 0;
  double mean = 0;
  std::optional<double> sd;  // of the sample (n - 1); absent for one value, 0 below 1e-12
  double low = 0;            // the smallest value
  double high = 0;           // the largest
};

// Nothing for no values.
std::optional<Spread> spread_of(std::span<const double> values);

// b - a, pair by pair.
struct PairedDifference {
  size_t pairs = 0;
  double mean = 0;
  // Absent for one pair. low and high bound the mean with kConfidence.
  std::optional<double> standard_error, low, high;
  // Two-sided: how often chance alone makes a mean this far from 0. Without any spread it is 1 for
  // a difference of 0 and 0 for any other.
  std::optional<double> p_value;

  // Whether the interval leaves out 0.
  bool beyond_noise() const { return p_value && *p_value < 1 - kConfidence; }
};

// Requires: as many values of a as of b. Nothing for no pairs.
std::optional<PairedDifference> paired_difference(std::span<const double> a,
                                                  std::span<const double> b);

// The common standard deviation of groups: the root of their variances' mean, weighted by degrees
// of freedom (groups of one value have none and tell nothing).
struct PooledSpread {
  double sd = 0;
  size_t degrees_of_freedom = 0;
};
std::optional<PooledSpread> pooled_spread(std::span<const Spread> groups);

// How far one more run may lie from the mean of `seeds` runs by chance (kConfidence): the half
// width of the prediction interval.
double noise_of_one_run(const PooledSpread& floor, size_t seeds);

// The t that Student's distribution stays below with `probability` (0 < probability < 1).
double t_quantile(double probability, size_t degrees_of_freedom);

}  // namespace bitloop::baselines
