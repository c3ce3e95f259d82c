// Whether a run could begin with its model, found out before there is a run.
#pragma once

#include "harness/cli/common.h"

namespace bitloop::cli {

// Has a jail read the model that the target begins with, if it has one, and train nothing: so a
// model that is damaged, or another than the preset's, leaves nothing in the workspace. Errors:
// "bad_weights", one sentence with the model's name; whatever else fails is left to the run.
Status try_initial_model(const Target& target, bool allow_degraded);

}  // namespace bitloop::cli
