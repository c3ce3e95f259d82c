// The job "generate": text from a model that is there, prompt by prompt. Its records: `model`,
// `text` (prompt, text) as it comes, `generated` (prompt, tokens, prompt_tokens, finish) at the end
// of each, `speed`, and one `result`.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// Errors are those of the machine; what is wrong with model or prompts is the result.
Status generate(const nlohmann::json& job, const Records& records);

}  // namespace bitloop::trainer
