// The trainer's side of `bitloop lua`: a job of kind "shell" (docs/architecture.md). Requests come
// on a descriptor of their own, one JSON object a line; answers leave as records.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/records.h"

namespace bitloop::trainer::shell {

// Reads the tensors, starts LibTorch's threads, narrows this process's system calls, loads the
// quantizer, answers requests until there are no more. Errors: "bad_job", "sandbox_unavailable".
Status serve(const nlohmann::json& job, const Records& records);

}  // namespace bitloop::trainer::shell
