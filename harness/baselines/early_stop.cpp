#include "harness/baselines/early_stop.h"

#include <fmt/format.h>

#include <functional>
#include <optional>

#include "harness/baselines/statistics.h"

namespace bitloop::baselines {
namespace {

using tasks::EarlyStop;
using tasks::EarlyStopLimit;
using tasks::EarlyStopRule;
// What is looked at of a curve: its loss at a step, or at the end.
using LossOf = std::function<std::optional<double>(const Curve&)>;

struct Level {
  double mean = 0;   // of the baseline
  double noise = 0;  // how far one more run may be from it by chance
};

// Nothing where the baseline has no such loss, or nobody two.
std::optional<Level> level_of(const std::vector<Curve>& curves, const std::string& baseline,
                              const LossOf& loss_of) {
  std::map<std::string, std::vector<double>> losses;
  for (const Curve& curve : curves)
    if (const auto loss = loss_of(curve)) losses[curve.name].push_back(*loss);
  std::vector<Spread> spreads;
  for (const auto& [name, values] : losses) spreads.push_back(*spread_of(values));
  const auto own = losses.find(baseline);
  const auto noise = pooled_spread(spreads);
  if (own == losses.end() || !noise) return {};
  return Level{spread_of(own->second)->mean, noise_of_one_run(*noise, own->second.size())};
}

LossOf at(int64_t step) {
  return [step](const Curve& curve) -> std::optional<double> {
    const auto loss = curve.losses.find(step);
    return loss == curve.losses.end() ? std::nullopt : std::optional(loss->second);
  };
}

// The step at which the rule would have ended this run, or nothing.
std::optional<int64_t> stopped_at(const EarlyStop& stop, const Curve& curve) {
  int64_t in_a_row = 0;
  for (const EarlyStopLimit& limit : stop.limits) {
    const auto loss = curve.losses.find(limit.step);
    const auto lambda = curve.lambdas.find(limit.step);
    if (loss == curve.losses.end()) continue;
    if (lambda != curve.lambdas.end() && lambda->second < 1) continue;
    in_a_row = loss->second > limit.val_loss ? in_a_row + 1 : 0;
    if (in_a_row >= stop.rule.consecutive) return limit.step;
  }
  return {};
}

}  // namespace

Result<EarlyStop> measure_early_stop(const EarlyStopRule& rule, int64_t steps,
                                     const std::vector<Curve>& curves) {
  const auto end =
      level_of(curves, rule.baseline, [](const Curve& curve) { return curve.final_loss; });
  if (!end)
    return fail("no_curves", fmt::format("when to stop early can't be measured: it takes curves of "
                                         "{} and two seeds of something",
                                         rule.baseline));
  EarlyStop stop{rule, {}, {}};
  std::map<int64_t, int> all;
  for (const Curve& curve : curves)
    for (const auto& [step, loss] : curve.losses) ++all[step];
  for (const auto& [step, count] : all) {
    if (static_cast<double>(step) < rule.from * static_cast<double>(steps) || step >= steps)
      continue;
    if (const auto level = level_of(curves, rule.baseline, at(step)))
      stop.limits.push_back({step, level->mean + rule.noises * level->noise, level->mean});
  }
  int64_t saved = 0;
  for (const Curve& curve : curves) {
    const auto stopped = stopped_at(stop, curve);
    if (!stopped) continue;
    ++stop.record.stopped;
    saved += steps - *stopped;
    if (curve.final_loss <= end->mean + end->noise) ++stop.record.false_stops;
  }
  stop.record.runs = curves.size();
  stop.record.steps_saved =
      static_cast<double>(saved) / static_cast<double>(steps) / static_cast<double>(curves.size());
  return stop;
}

}  // namespace bitloop::baselines
