// The benchmarks of a test: scored after its validation loss, and once more by its repetition.
#pragma once

#include <optional>

#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

// Opens the job's benchmarks, if it has any, and meets what scoring needs of LibTorch's libraries;
// before system calls are narrowed. Errors: those of files.
Status open_benchmarks(Run& run);

// Quantises the weights and scores the benchmarks, guarded as the validation loss is; batches last
// to first with `reversed`. Nothing where the job has none. A benchmark that is missing or broken
// is left out. Errors: those of the candidate's functions; "rejected" for levels; "diverged" where
// a score is not finite.
Result<std::optional<BenchmarkScores>> score_benchmarks(Run& run, bool reversed);

}  // namespace bitloop::trainer
