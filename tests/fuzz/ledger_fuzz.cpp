// Rows of results.tsv, and the questions that people ask about them. The first line of the input is
// a condition, what follows are rows.
#include "harness/base/text.h"
#include "harness/ledger/query.h"
#include "harness/ledger/row.h"
#include "tests/fuzz/fuzz.h"

namespace bitloop::ledger {
namespace {

using fuzz::require;

void check_row(const Row& row) {
  const std::string line = render_line(row);
  require(line.find('\n') == std::string::npos, "a row is one line");
  const auto again = parse_line(line);
  require(again.has_value(), "a row that was written can be read");
  require(render_line(*again) == line, "and says the same");
  const auto from_json = row_from_json(to_json(row));
  require(from_json.has_value() && render_line(*from_json) == line, "as JSON, too");
  to_json(row).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace
}  // namespace bitloop::ledger

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloop;
  const auto lines = split_lines({reinterpret_cast<const char*>(data), size});
  if (lines.empty()) return 0;
  const auto condition = ledger::parse_condition(lines[0]);
  const auto order = ledger::parse_order(lines[0]);
  const auto chosen = ledger::named_columns(lines[0]);
  fuzz::require(!chosen || !chosen->empty(), "a list of columns names some");
  std::vector<ledger::Row> rows;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (auto row = ledger::parse_line(lines[i])) rows.push_back(std::move(*row));
    const auto json = nlohmann::json::parse(lines[i], nullptr, /*allow_exceptions=*/false);
    if (auto row = ledger::row_from_json(json)) rows.push_back(std::move(*row));
    ledger::Row metrics;
    if (json.is_object() && ledger::set_metrics(metrics, json)) rows.push_back(std::move(metrics));
  }
  for (const ledger::Row& row : rows) {
    ledger::check_row(row);
    if (condition) ledger::matches(row, *condition);
  }
  if (order) ledger::sort_rows(rows, *order);
  return 0;
}
