// Whether a model works as a language model at all: asked after the audits, before a score is
// accepted. Audits look for a candidate that cheats; probes for what is broken, in the trainer or
// in the weights.
//
// What follows from a finding depends on who can have caused it:
//   - a layer's scored values are not those that quantising gives now: "rejected", as an impure
//     function is. Not "infrastructure", which would give the test back to whoever manages to do
//     it.
//   - a model that has learned and yet ignores all but the last token, or has layers that do
//     nothing, may be a quantizer's honest failure: the score stands, with a flag.
//   - attention that looks along the wrong axis is the trainer's fault: asked of the first, random
//     weights, before any candidate is there (attends_over_tokens in prepare).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trainer/audit/audits.h"

namespace bitloop::trainer {

// How a model predicts: ids (B, T) -> logits (B T, V). `positions` (B, T) is where in a sequence
// the tokens stand; undefined: 0, 1, 2, …
using Predict =
    std::function<Result<at::Tensor>(const at::Tensor& ids_BT, const at::Tensor& positions_BT)>;
Predict predict_with(Transformer& model, const ForwardContext& context);

// The mean divergence (Kullback and Leibler 1951), in nats, of predictions with the last token
// alone from those with all that comes before it. ids (B, T).
Result<double> context_sensitivity(const Predict& predict, const at::Tensor& ids_BT);
// Whether another first token changes the logits of later places: in any model that attends over
// tokens, whatever its weights, as long as they are not zero.
Result<bool> attends_over_tokens(const Predict& predict, const at::Tensor& ids_BT);

// What a sound model is far above and a broken one far below: the geometric middle of 0.1 and
// 0.0001.
inline constexpr double kLeastSensitivity = 0.003;

// A layer, and what is wrong with it.
struct DeadLayer {
  std::string name;
  bool constant = false;  // gives every token the same; else: changes no logit
};
// Of one forward pass of ids (B, T) a layer, and one more. Requires: quantize_weights.
Result<std::vector<DeadLayer>> dead_layers(Transformer& model, const ForwardContext& context,
                                           const at::Tensor& ids_BT);

// The values that a score was made with, to be compared with those of quantising again.
class ScoredValues {
 public:
  // Right after the score, before anything quantises.
  explicit ScoredValues(Transformer& model);
  // stale_values: after quantize_weights. Bitwise.
  Finding compare(Transformer& model) const;

 private:
  std::vector<at::Tensor> values_;
};

// Of a model that was scored with `loss` nats a token: findings `context` and `dead_layers`, both
// ok, and the flags `context_blind` and `dead_layers` where there is reason. Some windows of the
// text, at most 128 tokens of them. Requires: quantize_weights.
struct Probes {
  std::vector<Finding> findings;
  std::vector<std::string> flags;
};
Result<Probes> probe_score(Transformer& model, const TokenStream& text,
                           const ForwardContext& scored, double loss);

}  // namespace bitloop::trainer
