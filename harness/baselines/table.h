// A summary written down: the checked-in table (results/baselines/README.md documents every
// column), a JSON document, and lines for people.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "harness/baselines/summary.h"

namespace bitloop::baselines {

struct TableColumn {
  const char* name;
  const char* unit;  // "" for text and pure numbers
  const char* doc;   // one phrase for results/baselines/README.md
};
std::span<const TableColumn> table_columns();

// Comments (lines that begin with '#': the task, its steps and seeds, the noise floor), a header
// line, a line an entry; columns separated by one tab. A missing number is an empty field. The same
// summary gives the same text.
std::string table_text(const Summary& summary);

// {task, steps, seeds, noise_floor, baselines: [every column by name]}; a missing number is null.
nlohmann::ordered_json table_json(const Summary& summary);

// For a terminal; Pareto-optimal entries are marked by '*'.
std::string table_for_people(const Summary& summary);

}  // namespace bitloop::baselines
