// How well learned codebooks serve the weights, for the records of a run.
#pragma once

#include <nlohmann/json.hpp>

#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

// Of the weights as they were quantised last, over all layers:
//   quant_err_rms    root of the mean square of weight minus its codebook's value
//   cb_utilization   exp(entropy) of the entries' shares of their block's weights, over the number
//                    of entries; the mean of all blocks: 1 where all entries serve as many weights
//   dead_frac        share of entries that no weight of their block uses
// An empty object where the candidate has no codebook.
nlohmann::json codebook_use(const Run& run);

}  // namespace bitloop::trainer
