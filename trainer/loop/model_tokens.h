// Text and tokens of the model that `bitloop eval` and `bitloop generate` work on: its own
// tokenizer.json, GPT-2's merges, or bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "trainer/job.h"
#include "trainer/tokenizer/tokenizer.h"

namespace bitloop::trainer {

struct ModelTokens {
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;  // null: bytes
  std::vector<int32_t> prefix, suffix;              // around a text that is gone on from
  std::set<int64_t> ends;                           // tokens after which there is no more
};

// The text of the model's tokenizer.json, "" where there is none. Read before system calls are
// narrowed, looked at afterwards. Errors: those of files.
Result<std::string> tokenizer_file(const nlohmann::json& model);

// `file`: what tokenizer_file gave. Without one a model of bytes has bytes, and one with as many
// tokens as GPT-2's the tokenizer of `merges`. Error "bad_model": a sentence.
Result<ModelTokens> model_tokens(const nlohmann::json& model, const ModelConfig& shape,
                                 const std::string& file, const std::string& merges);

}  // namespace bitloop::trainer
