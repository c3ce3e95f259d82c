// Rows of the ledger in (val_loss, bits per weight): the best for so many bits, and the plot's
// summary of them.
#pragma once

#include <vector>

#include "harness/baselines/summary.h"
#include "harness/ledger/row.h"

namespace bitloop::baselines {

// Of each task and each number of bits (kSameBits apart) the row with the lowest val_loss, of those
// that ended ok; by task, then bits.
std::vector<ledger::Row> best_per_bits(const std::vector<ledger::Row>& rows);

// The rows that ended ok with a score, as entries: a baseline's seeds are one entry, every other
// row is its own ("brave-otter-1f3a-2", "idea-3"). Error: "several_tasks", whose losses can't be
// compared.
Result<Summary> summarize_rows(const std::vector<ledger::Row>& rows);

}  // namespace bitloop::baselines
