// A row of results.tsv: one finished test. One list of columns feeds header, text, JSON and the
// table in results/README.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::ledger {

using Number = std::optional<double>;    // absent: an empty field, null in JSON, never 0
using Integer = std::optional<int64_t>;  // likewise

// Columns in the order of the file; units and meanings stand in columns().
struct Row {
  std::string time;
  std::string session;
  Integer test;
  std::string commit;
  std::string type;
  std::string agent;
  std::string task;
  std::string quantizer;
  std::string status;
  std::vector<std::string> flags;
  Number val_loss;
  Number val_bpb;
  Number wikitext2_ppl;
  Number lambada_ppl;
  Number arc_easy;
  Number hellaswag;
  Number piqa;
  Number winogrande;
  Number bits_per_weight;
  Number packed_bits_per_weight;
  Integer params;
  Integer tokens;
  Number train_s;
  Number tokens_per_s;
  Number peak_memory_mb;
  std::string device;
  std::string precision;
  Integer ranks;
  Integer seed;
  std::string version;
  Number q_neg1;
  Number q_zero;
  Number q_pos1;
  bool submitted = false;
  std::string description;

  bool operator==(const Row&) const = default;
};

// Which member of Row a column is, and with it the column's type.
using Field = std::variant<std::string Row::*, std::vector<std::string> Row::*, Number Row::*,
                           Integer Row::*, bool Row::*>;

struct Column {
  const char* name;
  const char* unit;  // "" for text and pure numbers
  const char* doc;   // one phrase for results/README.md
  bool metric;  // measured by the trainer: may be set by set_metrics(), appears in metrics_json()
  Field field;
};

std::span<const Column> columns();
const Column* find_column(std::string_view name);  // nullptr when there is none

// A column's field as it stands in the file.
std::string field_text(const Row& row, const Column& column);

// The header line, without a newline.
std::string header_line();
// The row's line, without a newline: numbers in the shortest form that reads back, non-finite ones
// empty, flags joined by commas, submitted "true" or "false"; tabs, newlines and other control
// characters in text become spaces.
std::string render_line(const Row& row);
// The inverse. Errors: "ledger_malformed" (number of fields, a number that does not read; the
// message names the column).
Result<Row> parse_line(std::string_view line);
// The field of one column of a line, as it stands there; "" where the line has too few.
std::string_view field_of_line(std::string_view line, const Column& column);

// All columns by name: missing numbers null, flags a list, submitted true or false.
nlohmann::json to_json(const Row& row);
// The inverse (session.json holds rows in this form). Missing members stay as in Row{}; unknown
// ones are an error. Errors: "ledger_malformed".
Result<Row> row_from_json(const nlohmann::json& json);
// The metric columns alone: what the API calls `metrics`.
nlohmann::json metrics_json(const Row& row);
// Takes from an object the members that are metric columns (null: missing) and leaves all others
// alone (the trainer also reports step and train_loss). Error: "ledger_malformed" (a metric that is
// not a number).
Status set_metrics(Row& row, const nlohmann::json& metrics);

}  // namespace bitloop::ledger
