// Where the ranks of a run agree: on what a step's passes brought, on the sum of the gradients, and
// that they still have the same weights.
#pragma once

#include <functional>

#include "trainer/distributed/early_sums.h"
#include "trainer/loop/prepare.h"
#include "trainer/loop/progress.h"

namespace bitloop::trainer {

// Whether this process writes records and files, evaluates and scores: alone, or as rank 0.
bool is_first(const Run& run);

// For a rank other than 0, how it lost the others, if `done` is that: the process ends with it, and
// its end ends the run. Everything else that goes wrong is rank 0's to tell.
template <typename Done>
Status companion_failure(const Run& run, const Done& done) {
  if (is_first(run) || done || done.error().code != "infrastructure") return {};
  return std::unexpected(done.error());
}

// What `body`, which returns a Result, returns or throws, as a Result: a rank that runs out of
// memory has to tell the others.
Result<double> caught(const std::function<Result<double>()>& body);

// After the micro-batches of a step: `loss` is the sum of this rank's losses, or how it failed.
// Returns the sum over all ranks, and every gradient has become the sum of all ranks' gradients:
// of parameters, of the values that products read (dL/dvalue), and of row biases. Errors: that of
// the lowest rank that failed, the same on all; "infrastructure".
// `early` are the sums that have begun already, or null.
Result<double> add_up(Run& run, const Result<double>& loss, EarlySums* early = nullptr);

// Whether every rank's pass has early gradients (TrainingPass), and as many. To be asked before
// system calls are narrowed, to get ready for their sums, and of the candidate's own pass again.
Result<bool> all_sum_early(Run& run);

// Error "infrastructure" when ranks were started with different jobs.
Status same_job(Run& run);

// Error "infrastructure" when ranks no longer have the same weights before step `step`; "rejected"
// when that is because a function of the candidate remembers.
Status same_weights(Run& run, int64_t step);

// After rank 0 may have gone on from a checkpoint: all ranks have its state.
Status share_state(Run& run, AdamW& optimizer, Progress& progress);

}  // namespace bitloop::trainer
