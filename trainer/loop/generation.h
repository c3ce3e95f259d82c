// The job "generate": text from a model that is there, prompt by prompt. Its records: `model`,
// `text` (prompt, text) as it comes, `generated` (prompt, tokens, prompt_tokens, finish) at the end
// of each, `speed`, and one `result`. `speed` has prompt_tokens and prompt_s, new_tokens and new_s,
// steps (of all live sequences at a time), load_s, weight_bytes (what a step reads of the weights),
// resident_bytes (the most there were) and, where the option `benchmark` asks for it,
// copy_bytes_per_s (a measured copy, bytes read and written).
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// Errors are those of the machine; what is wrong with model or prompts is the result.
Status generate(const nlohmann::json& job, const Records& records);

}  // namespace bitloop::trainer
