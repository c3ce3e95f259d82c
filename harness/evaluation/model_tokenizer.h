// The tokenizer that belongs to a run's model, and the files by which other programs read it.
#pragma once

#include <filesystem>
#include <string>

#include "harness/base/result.h"
#include "harness/evaluation/model_job.h"

namespace bitloop::evaluation {

// tokenizer.json of the Hugging Face folder that the run began with, perhaps by way of other runs;
// empty where there is none, or it is not there any more, or the tokens are bytes.
std::filesystem::path origin_tokenizer(const Json& job);

// What an exported model has beside its weights.
struct TokenizerFiles {
  std::string tokenizer;  // the text of tokenizer.json; "": it has none
  std::string settings;   // of tokenizer_config.json
  Json ends;              // bos_token_id and eos_token_id of config.json
};

// `given`: tokenizer.json or a folder with one, in place of the model's own; empty: the one that
// the run began with, else that of bytes or of GPT-2. Errors: "wrong_usage" (a file that is none or
// has another size than the model), "data_unavailable", those of files.
Result<TokenizerFiles> tokenizer_files(const Json& job, const std::filesystem::path& given);

}  // namespace bitloop::evaluation
