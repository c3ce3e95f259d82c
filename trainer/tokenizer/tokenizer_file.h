// tokenizer.json of the tokens that bitloop has of its own, as Hugging Face's library `tokenizers`
// reads it: bytes and GPT-2's.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::tokenizer {

// 256 tokens, each of which is the byte of its number: a byte-level vocabulary without merges.
std::string tokenizer_file_of_bytes();

// `merges`: the text of vocab.bpe, called `name` in the error "data_unavailable".
Result<std::string> tokenizer_file_of_gpt2(std::string_view merges, const std::string& name);

}  // namespace bitloop::tokenizer
