// From texts to windows of tokens for a model, by the rules of lm-evaluation-harness 0.4: what is
// scored, and what stands before it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/base/result.h"
#include "trainer/eval/task.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {

// Tokens that one sequence of the model is made of: `input`, at most the context's length, of which
// the last targets.size() predict `targets`.
struct Window {
  std::vector<int32_t> input, targets;
  // Neighbours of one group begin alike, as the choices of a question do: what they share is
  // computed once. Negative: of no group.
  int64_t group = -1;
};

// log P(continuation | context). Spaces at the end of the context go to the continuation; that is
// what both encoded together add to the context encoded alone; an empty context is the token that
// texts begin with. What is too long loses its beginning. Error "bad_document": a continuation
// without tokens, or longer than the model's context.
Result<Window> continuation_window(const tokenizer::Tokenizer& tokenizer, const Prompt& prompt,
                                   int64_t context);

// A whole document from the token `beginning` on: every token is predicted once. The last window
// reaches back, so that it is as long as the others.
std::vector<Window> rolling_windows(std::span<const int32_t> tokens, int64_t context,
                                    int32_t beginning = tokenizer::Gpt2::kEndOfText);

// Blocks of `context` + 1 tokens that overlap by one: the usual perplexity of a text. The rest that
// fills no block is left out, unless there would be no block.
std::vector<Window> block_windows(std::span<const int32_t> tokens, int64_t context);

}  // namespace bitloop::trainer
