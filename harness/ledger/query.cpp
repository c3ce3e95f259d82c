#include "harness/ledger/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <compare>

#include "harness/base/text.h"

namespace bitloop::ledger {
namespace {

constexpr size_t kNearest = 3;
// What the table for people calls them (harness/cli/table.cpp).
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOtherNames = {
    {{"bits", "bits_per_weight"}, {"tokens/s", "tokens_per_s"}, {"final", "submitted"}}};

// A column's value for comparisons. Truth counts as text.
Number number_of(const Row& row, const Column& column) {
  if (const auto* field = std::get_if<Number Row::*>(&column.field)) return row.*(*field);
  if (const auto* field = std::get_if<Integer Row::*>(&column.field))
    return row.*(*field) ? Number(static_cast<double>(*(row.*(*field)))) : Number();
  return {};
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

bool holds(Comparison comparison, std::partial_ordering order) {
  switch (comparison) {
    case Comparison::kEqual:
      return order == 0;
    case Comparison::kNotEqual:
      return order != 0;
    case Comparison::kLess:
      return order < 0;
    case Comparison::kAtMost:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    case Comparison::kAtLeast:
      return order >= 0;
    case Comparison::kContains:
      return false;
  }
  return false;
}

}  // namespace

Result<const Column*> named_column(std::string_view name) {
  for (const auto& [other, real] : kOtherNames)
    if (name == other) return find_column(real);
  if (const Column* column = find_column(name)) return column;
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const Column& column : columns())
    ranked.emplace_back(edit_distance(name.substr(0, 100), column.name), column.name);
  std::ranges::stable_sort(ranked, {}, &std::pair<size_t, std::string>::first);
  std::vector<std::string> nearest;
  for (size_t i = 0; i < kNearest; ++i) nearest.push_back(ranked[i].second);
  return fail("unknown_column", fmt::format("there is no column '{}'; the nearest are {}",
                                            single_line(name.substr(0, 100)), join(nearest, ", ")));
}

Result<std::vector<const Column*>> named_columns(std::string_view list) {
  std::vector<const Column*> chosen;
  for (const std::string& name : split(list, ',')) {
    if (single_line(name).empty()) continue;
    BITLOOP_ASSIGN(column, named_column(single_line(name)));
    chosen.push_back(column);
  }
  if (chosen.empty()) return fail("bad_value", "name the columns, separated by commas");
  return chosen;
}

bool is_number(const Column& column) {
  return std::holds_alternative<Number Row::*>(column.field) ||
         std::holds_alternative<Integer Row::*>(column.field);
}

Result<Condition> parse_condition(std::string_view text) {
  const size_t at = text.find_first_of("<>=!~");
  const auto bad = [&](std::string_view why) {
    return fail("bad_condition",
                fmt::format("'{}' is no condition: {}; write it as 'val_loss<2.4' or "
                            "'description~median' (=, !=, <, <=, >, >=, ~)",
                            single_line(text.substr(0, 100)), why));
  };
  if (at == std::string_view::npos || at == 0) return bad("it compares nothing");
  Condition condition;
  BITLOOP_ASSIGN(column, named_column(single_line(text.substr(0, at))));
  condition.column = column;
  const bool with_equals = at + 1 < text.size() && text[at + 1] == '=';
  size_t size = with_equals ? 2 : 1;
  switch (text[at]) {
    case '<':
      condition.comparison = with_equals ? Comparison::kAtMost : Comparison::kLess;
      break;
    case '>':
      condition.comparison = with_equals ? Comparison::kAtLeast : Comparison::kGreater;
      break;
    case '!':
      if (!with_equals) return bad("'!' needs a '='");
      condition.comparison = Comparison::kNotEqual;
      break;
    case '~':
      condition.comparison = Comparison::kContains;
      size = 1;
      break;
    default:
      condition.comparison = Comparison::kEqual;  // "==" as well
  }
  condition.text = single_line(text.substr(at + size));
  if (!is_number(*column) || condition.comparison == Comparison::kContains) return condition;
  if (condition.text.empty()) {
    if (condition.comparison == Comparison::kEqual || condition.comparison == Comparison::kNotEqual)
      return condition;
    return bad("a number is missing");
  }
  double value = 0;
  const char* end = condition.text.data() + condition.text.size();
  const auto [read, code] = std::from_chars(condition.text.data(), end, value);
  if (code != std::errc() || read != end || value != value)
    return bad(fmt::format("{} holds numbers", column->name));
  condition.number = value;
  return condition;
}

bool matches(const Row& row, const Condition& condition) {
  const Column& column = *condition.column;
  const Comparison comparison = condition.comparison;
  if (comparison == Comparison::kContains)
    return lower(field_text(row, column)).find(lower(condition.text)) != std::string::npos;
  if (is_number(column)) {
    const Number value = number_of(row, column);
    if (!value || !condition.number) {
      const bool same = value.has_value() == condition.number.has_value();
      if (comparison == Comparison::kEqual) return same;
      return comparison == Comparison::kNotEqual && !same;
    }
    return holds(comparison, *value <=> *condition.number);
  }
  if (const auto* flags = std::get_if<std::vector<std::string> Row::*>(&column.field);
      flags != nullptr && !condition.text.empty()) {
    const bool there = std::ranges::find(row.*(*flags), condition.text) != (row.*(*flags)).end();
    if (comparison == Comparison::kEqual) return there;
    if (comparison == Comparison::kNotEqual) return !there;
  }
  return holds(comparison, field_text(row, column) <=> condition.text);
}

Result<Order> parse_order(std::string_view text) {
  const bool descending = text.starts_with('-');
  BITLOOP_ASSIGN(column, named_column(text.substr(descending ? 1 : 0)));
  return Order{column, descending};
}

void sort_rows(std::vector<Row>& rows, const Order& order) {
  const Column& column = *order.column;
  std::ranges::stable_sort(rows, [&](const Row& a, const Row& b) {
    if (is_number(column)) {
      const Number left = number_of(a, column), right = number_of(b, column);
      if (!left || !right) return left.has_value() && !right.has_value();
      return order.descending ? *left > *right : *left < *right;
    }
    const std::string left = field_text(a, column), right = field_text(b, column);
    if (left.empty() || right.empty()) return !left.empty() && right.empty();
    return order.descending ? left > right : left < right;
  });
}

}  // namespace bitloop::ledger
