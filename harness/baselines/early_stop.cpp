#include "harness/baselines/early_stop.h"

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <set>

#include "harness/baselines/statistics.h"

namespace bitloop::baselines {
namespace {

using tasks::EarlyStop;
using tasks::EarlyStopLimit;
using tasks::EarlyStopRule;
// What is looked at of a curve: its loss at a step, or at the end.
using LossOf = std::function<std::optional<double>(const Curve&)>;

// By candidate.
std::map<std::string, std::vector<double>> losses_of(const std::vector<Curve>& curves,
                                                     const LossOf& loss_of) {
  std::map<std::string, std::vector<double>> losses;
  for (const Curve& curve : curves)
    if (const auto loss = loss_of(curve)) losses[curve.name].push_back(*loss);
  return losses;
}

void add_spreads(const std::vector<Curve>& curves, const LossOf& loss_of,
                 std::vector<Spread>& spreads) {
  for (const auto& [name, values] : losses_of(curves, loss_of))
    spreads.push_back(*spread_of(values));
}

LossOf at(int64_t step) {
  return [step](const Curve& curve) -> std::optional<double> {
    const auto loss = curve.losses.find(step);
    return loss == curve.losses.end() ? std::nullopt : std::optional(loss->second);
  };
}

// The step at which the rule would have ended this run, or nothing.
std::optional<int64_t> stopped_at(const EarlyStopRule& rule,
                                  const std::vector<EarlyStopLimit>& limits, const Curve& curve) {
  int64_t in_a_row = 0;
  for (const EarlyStopLimit& limit : limits) {
    const auto loss = curve.losses.find(limit.step);
    const auto lambda = curve.lambdas.find(limit.step);
    if (loss == curve.losses.end()) continue;
    if (lambda != curve.lambdas.end() && lambda->second < 1) continue;
    in_a_row = loss->second > limit.val_loss ? in_a_row + 1 : 0;
    if (in_a_row >= rule.consecutive) return limit.step;
  }
  return {};
}

struct Limits {
  std::vector<EarlyStopLimit> at;  // by step
  double no_worse = 0;             // a run that ends at most there was no hopeless one
};

// Nothing without a curve of the baseline, or without two seeds of anything.
std::optional<Limits> limits_of(const EarlyStopRule& rule, int64_t steps,
                                const std::vector<Curve>& curves) {
  const LossOf at_end = [](const Curve& curve) { return curve.final_loss; };
  const auto ends = losses_of(curves, at_end);
  const auto own = ends.find(rule.baseline);
  std::vector<Spread> end_spreads;
  add_spreads(curves, at_end, end_spreads);
  const auto end_noise = pooled_spread(end_spreads);
  if (own == ends.end() || !end_noise) return {};
  std::map<int64_t, double> means;  // the baseline's, by step
  std::vector<Spread> spreads;
  std::set<int64_t> looked_at;
  for (const Curve& curve : curves)
    for (const auto& [step, loss] : curve.losses)
      if (static_cast<double>(step) >= rule.from * static_cast<double>(steps) && step < steps)
        looked_at.insert(step);
  for (const int64_t step : looked_at) {
    add_spreads(curves, at(step), spreads);
    const auto losses = losses_of(curves, at(step));
    if (const auto found = losses.find(rule.baseline); found != losses.end())
      means[step] = spread_of(found->second)->mean;
  }
  Limits limits;
  // Few seeds say little about one step; all steps together say more, though they are not more
  // runs: the degrees of freedom stay those of the ends.
  if (const auto pooled = pooled_spread(spreads)) {
    const double noise =
        noise_of_one_run({pooled->sd, end_noise->degrees_of_freedom}, own->second.size());
    for (const auto& [step, mean] : means)
      limits.at.push_back({step, mean + rule.noises * noise, mean});
  }
  limits.no_worse = spread_of(own->second)->mean + noise_of_one_run(*end_noise, own->second.size());
  return limits;
}

}  // namespace

Result<EarlyStop> measure_early_stop(const EarlyStopRule& rule, int64_t steps,
                                     const std::vector<Curve>& curves) {
  const auto limits = limits_of(rule, steps, curves);
  if (!limits)
    return fail("no_curves", fmt::format("when to stop early can't be measured: it takes curves of "
                                         "{} and two seeds of something",
                                         rule.baseline));
  EarlyStop stop{rule, limits->at, {}};
  int64_t saved = 0;
  for (size_t i = 0; i < curves.size(); ++i) {
    // A run that helped to set the limits is not stopped by them as a new one would be.
    std::vector<Curve> others = curves;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const Limits without = limits_of(rule, steps, others).value_or(*limits);
    const auto stopped = stopped_at(rule, without.at, curves[i]);
    if (!stopped) continue;
    ++stop.record.stopped;
    saved += steps - *stopped;
    if (curves[i].final_loss <= without.no_worse) ++stop.record.false_stops;
  }
  stop.record.runs = curves.size();
  stop.record.steps_saved =
      static_cast<double>(saved) / static_cast<double>(steps) / static_cast<double>(curves.size());
  return stop;
}

}  // namespace bitloop::baselines
