#include "harness/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "harness/base/text.h"
#include "harness/baselines/verification.h"
#include "harness/ledger/query.h"

namespace bitloop::cli {
namespace {

constexpr size_t kMaxDescription = 48;
constexpr std::array kHeader = {"session",  "test",  "task",       "quantizer", "status",
                                "val_loss", "bits",  "tokens",     "train_s",   "tokens/s",
                                "final",    "flags", "description"};
using Cells = std::vector<std::string>;

constexpr size_t kVerifiedColumn = 11;  // where any row was verified

bool is_number_column(size_t column) { return column == 1 || (column >= 5 && column <= 9); }

// In characters, as fmt pads.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
}

std::string number(const ledger::Number& value, int decimals) {
  return value ? fmt::format("{:.{}f}", *value, decimals) : "-";
}

// Of training, in three digits: what tells a run with other --steps from the task's own.
std::string tokens(const ledger::Integer& count) {
  if (!count) return "-";
  const auto value = static_cast<double>(*count);
  if (value < 999.5e3) return fmt::format("{:.3g}k", value / 1e3);
  if (value < 999.5e6) return fmt::format("{:.3g}M", value / 1e6);
  return fmt::format("{:.3g}B", value / 1e9);
}

// Cuts at a character's border, not inside its bytes.
std::string shorten(const std::string& text) {
  if (text.size() <= kMaxDescription) return text;
  size_t end = kMaxDescription - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

Cells cells_of(const ledger::Row& row) {
  return {row.session,
          row.test ? std::to_string(*row.test) : "-",
          row.task,
          row.quantizer,
          row.status,
          number(row.val_loss, 4),
          number(row.bits_per_weight, 3),
          tokens(row.tokens),
          number(row.train_s, 1),
          number(row.tokens_per_s, 0),
          row.submitted ? "yes" : "",
          join(row.flags, ","),
          shorten(row.description)};
}

// lines[0] is the header; `right`: which columns are aligned there.
std::string aligned(const std::vector<std::vector<std::string>>& lines,
                    const std::vector<bool>& right) {
  std::vector<size_t> widths(right.size());
  for (const auto& cells : lines)
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], width_of(cells[i]));
  std::string text;
  for (const auto& cells : lines) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i)
      line += right[i] ? fmt::format("{:>{}}  ", cells[i], widths[i])
                       : fmt::format("{:<{}}  ", cells[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace

std::string results_table(const std::vector<ledger::Row>& rows,
                          const std::vector<ledger::Row>& all) {
  std::vector<Cells> lines = {{kHeader.begin(), kHeader.end()}};
  std::vector<bool> right;
  for (size_t i = 0; i < kHeader.size(); ++i) right.push_back(is_number_column(i));
  Cells verified = {"verified"};
  for (const ledger::Row& row : rows) {
    lines.push_back(cells_of(row));
    verified.push_back(baselines::short_text(baselines::verification_of(row, all)));
  }
  if (std::ranges::any_of(verified.begin() + 1, verified.end(),
                          [](const std::string& cell) { return !cell.empty(); })) {
    for (size_t i = 0; i < lines.size(); ++i)
      lines[i].insert(lines[i].begin() + kVerifiedColumn, verified[i]);
    right.insert(right.begin() + kVerifiedColumn, false);
  }
  return aligned(lines, right);
}

std::string columns_table(const std::vector<ledger::Row>& rows,
                          const std::vector<const ledger::Column*>& columns) {
  std::vector<Cells> lines(1);
  std::vector<bool> right;
  for (const ledger::Column* column : columns) {
    lines[0].emplace_back(column->name);
    right.push_back(ledger::is_number(*column));
  }
  for (const ledger::Row& row : rows) {
    Cells cells;
    for (const ledger::Column* column : columns) {
      const std::string text = ledger::field_text(row, *column);
      cells.push_back(text.empty() ? "-" : shorten(text));
    }
    lines.push_back(std::move(cells));
  }
  return aligned(lines, right);
}

}  // namespace bitloop::cli
