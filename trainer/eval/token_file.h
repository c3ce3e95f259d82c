// The loss of a model on a file of tokens: what training calls validation loss, of any model and
// file.
#pragma once

#include "trainer/data/dataset.h"
#include "trainer/eval/scorer.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// Scores windows of `window` tokens (0: of the model's context) side by side, at most `limit` of
// them (0: all); a rest that fills no window is left out. Sends records `progress`, `documents` (a
// window each) and `eval` of the task "tokens" with the metrics loss (nats a token), perplexity
// and, where `tokens` knows its bytes, bits_per_byte. Errors: "wrong_usage" (a window longer than
// the context), "bad_document" (less than a window), "bad_model" (a score that is not finite),
// those of the candidate's functions. Requires: quantize_weights.
Status score_tokens(Transformer& model, const TokenStream& tokens, const ForwardContext& context,
                    int64_t window, int64_t limit, const Records& records);

}  // namespace bitloop::trainer
