// What a score must pass before it counts (design section 5). Each audit works on the model's own
// tensors or calls the candidate's functions; none believes anything the candidate says. `scored`
// is the context of the final evaluation and `batch` its windows a batch,
// of `window` tokens (0: the model's context): functions see ctx and
// shapes, so with others a candidate could tell the audit from the score.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lua/quantizer/quantizer.h"
#include "trainer/data/dataset.h"
#include "trainer/job.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

struct Finding {
  std::string rule;  // levels, bits_per_weight, causality, purity, …
  bool ok = true;
  std::string detail;  // one sentence
  std::string
      status;  // what a failure makes of the test: "rejected" or "script_error"; empty when ok
};

void to_json(nlohmann::json& json, const Finding& finding);

// Where the end-to-end probe cuts a sequence: once for the pre-flight, which should answer quickly,
// at three places for a score.
enum class CausalityCuts { kOne, kThree };

// levels: every code of every quantised weight is a declared level, and every value is exactly
// codes * scale (+ offset) or the codebook's entry. Requires: quantize_weights ran at lambda 1.
Finding audit_levels(Transformer& model, const lua::Format& format);

// causality: later tokens and other rows do not change a prefix. Two probes, both bitwise:
// activation values of rows whose neighbours are replaced by larger ones, layer by layer; and the
// logits of a prefix whose suffix is replaced, end to end. `leaks` is set when they do change; that
// is a failure unless the task is paper_compat.
Finding audit_causality(Transformer& model, lua::Quantizer& quantizer, const TokenStream& text,
                        const Rules& rules, const ForwardContext& scored, int64_t batch,
                        CausalityCuts cuts, bool& leaks, int64_t window = 0);

// purity: the functions called on A, B and A again give the same bits for A, also in a fresh Lua
// state, and change nothing that a later call could see.
Finding audit_purity(Transformer& model, lua::Quantizer& quantizer, lua::Quantizer& fresh,
                     const ForwardContext& scored);

}  // namespace bitloop::trainer
