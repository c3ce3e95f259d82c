// The ledger as a table for people: the columns that matter in a terminal.
#pragma once

#include <string>
#include <vector>

#include "harness/ledger/row.h"

namespace bitloop::cli {

// Every line ends with a newline; numbers are right-aligned, missing ones "-".
std::string results_table(const std::vector<ledger::Row>& rows);

}  // namespace bitloop::cli
