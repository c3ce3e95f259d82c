// The job "eval": benchmarks of a model that is there (docs/evaluation.md). Its document is not
// that of a test, and its records are `progress`, `task` and one `result`.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// Errors are those of the machine; what is wrong with model, task or documents is the result.
Status evaluate_benchmarks(const nlohmann::json& job, const Records& records);

}  // namespace bitloop::trainer
