// What a quantizer does, in one digest: two candidates with the same one do the same on the probe
// tensors, so a test of the second would tell nothing that the first has not.
//
// Digested are the declared format, the config, and, for the first layer of each kind and the last
// layer, Q.init's tensors and what every function gives (and the gradients of its surrogate, by
// bits) for made-up tensors of the layer's shapes, at the first step of training, in its middle,
// late in it and in the final evaluation. Functions are called eagerly. Of the comments, the names and the way a
// file gets there nothing is left.
#pragma once

#include <optional>
#include <string>

#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

// 64 hexadecimal digits; comparable between runs of one version on one machine and task. Nothing
// where a function raises or wants what the probe has not: no statement then. Changes no tensor of
// the model. Requires: load_candidate was called.
std::optional<std::string> behaviour_digest(Run& run);

}  // namespace bitloop::trainer
