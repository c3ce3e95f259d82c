// Questions about rows, as a person types them: conditions on columns, an order, columns by name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/ledger/row.h"

namespace bitloop::ledger {

// A column by its name, or by what the table for people calls it ("bits", "tokens/s", "final").
// Error: "unknown_column" (the nearest names are listed).
Result<const Column*> named_column(std::string_view name);
// Whether it holds numbers, whole or not.
bool is_number(const Column& column);
// "a,b,c". Errors: those of named_column; "bad_value" for none.
Result<std::vector<const Column*>> named_columns(std::string_view list);

enum class Comparison { kEqual, kNotEqual, kLess, kAtMost, kGreater, kAtLeast, kContains };

struct Condition {
  const Column* column = nullptr;
  Comparison comparison = Comparison::kEqual;
  std::string text;  // what is compared with
  Number number;     // the same for a column of numbers; absent: what is missing there
};

// "val_loss<2.4", "status!=ok", "description~median" (contains, upper and lower case alike); after
// "=" and "!=" nothing means missing. Text is compared by bytes; of flags one is enough. Errors:
// "bad_condition", those of named_column.
Result<Condition> parse_condition(std::string_view text);
// A missing number is neither less nor greater than any.
bool matches(const Row& row, const Condition& condition);

struct Order {
  const Column* column = nullptr;
  bool descending = false;
};
// "val_loss" or "-val_loss". Errors: those of named_column.
Result<Order> parse_order(std::string_view text);
// Equal rows stay in their order; what is missing comes last either way.
void sort_rows(std::vector<Row>& rows, const Order& order);

}  // namespace bitloop::ledger
