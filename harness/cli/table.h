// The ledger as a table for people: the columns that matter in a terminal, or chosen ones.
#pragma once

#include <string>
#include <vector>

#include "harness/ledger/row.h"

namespace bitloop::cli {

// Every line ends with a newline; numbers are right-aligned, missing ones "-".
// `all`: the whole ledger, for the column `verified`, which is there when any row was verified.
std::string results_table(const std::vector<ledger::Row>& rows,
                          const std::vector<ledger::Row>& all = {});
// These columns alone, as they stand in the file.
std::string columns_table(const std::vector<ledger::Row>& rows,
                          const std::vector<const ledger::Column*>& columns);

}  // namespace bitloop::cli
