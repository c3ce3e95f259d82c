// The limits above which a test is hopeless (harness/tasks/early_stop.h), from recorded curves, and
// what the rule would have done with those runs, each by limits that were set without it.
#pragma once

#include <vector>

#include "harness/base/result.h"
#include "harness/baselines/curves.h"
#include "harness/tasks/early_stop.h"

namespace bitloop::baselines {

// At each step from rule.from on (the last excepted): the mean of the baseline's curves plus
// rule.noises times the noise, which is the half width of the prediction interval of one more run,
// by the spread of seeds pooled over all candidates with two seeds or more and all these steps.
// Errors: "no_curves" (none of the baseline, or too few seeds to know the noise).
Result<tasks::EarlyStop> measure_early_stop(const tasks::EarlyStopRule& rule, int64_t steps,
                                            const std::vector<Curve>& curves);

}  // namespace bitloop::baselines
