// Whether training could teach a quantizer anything: asked before a run is spent on it.
#pragma once

#include "trainer/audit/audits.h"

namespace bitloop::trainer {

// A parameter that no gradient has reached would be a number that the file claims to learn and does
// not: "script_error", by the layer's `grad` fields after a backward pass.
Status gradients_reach_parameters(const BitLinear& layer);

// gradients: one backward pass of the layer's functions alone, from made-up gradients of their
// values, with training's `context` (its lambda too). Fails where training would; a surrogate whose
// gradient is 0 everywhere is legal, and named. Changes the layer's gradients.
Finding audit_gradients(BitLinear& layer, const ForwardContext& context);

}  // namespace bitloop::trainer
