#include "harness/cli/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "harness/base/text.h"

namespace bitloop::cli {
namespace {

constexpr const char* kMarks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr double kMost = std::size(kMarks) - 1;

bool read_number(const std::string& text, double& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

// Six digits tell a curve; the file has all of them.
std::string shortened(const std::string& field) {
  double value = 0;
  return read_number(field, value) ? fmt::format("{:.6g}", value) : field;
}

}  // namespace

std::string sparkline(const std::vector<double>& values, size_t width) {
  const size_t marks = std::min(width, values.size());
  if (marks == 0) return "";
  std::vector<double> means;
  for (size_t i = 0; i < marks; ++i) {
    const auto first = static_cast<ptrdiff_t>(i * values.size() / marks);
    const auto last = static_cast<ptrdiff_t>((i + 1) * values.size() / marks);
    means.push_back(std::accumulate(values.begin() + first, values.begin() + last, 0.0) /
                    static_cast<double>(last - first));
  }
  const auto [low, high] = std::ranges::minmax(means);
  std::string line;
  for (const double mean : means) {
    const double part = high > low ? (mean - low) / (high - low) : 0;
    line += kMarks[static_cast<size_t>(std::lround(part * kMost))];
  }
  return line;
}

std::vector<double> Curve::values(std::string_view column) const {
  std::vector<double> numbers;
  const auto found = std::ranges::find(columns, column);
  if (found == columns.end()) return numbers;
  const auto index = static_cast<size_t>(found - columns.begin());
  for (const auto& line : lines) {
    double value = 0;
    if (read_number(line[index], value)) numbers.push_back(value);
  }
  return numbers;
}

Curve read_curve(std::string_view log_tsv) {
  Curve curve;
  const std::string_view whole = log_tsv.substr(0, log_tsv.rfind('\n') + 1);
  for (const std::string& line : split_lines(whole)) {
    std::vector<std::string> fields;
    for (const std::string& field : split(line, '\t')) fields.push_back(single_line(field));
    if (curve.columns.empty())
      curve.columns = std::move(fields);
    else if (fields.size() == curve.columns.size())
      curve.lines.push_back(std::move(fields));
  }
  return curve;
}

std::string last_lines(const Curve& curve, size_t lines) {
  const size_t first = curve.lines.size() - std::min(lines, curve.lines.size());
  std::vector<std::vector<std::string>> shown = {curve.columns};
  for (size_t i = first; i < curve.lines.size(); ++i) {
    shown.emplace_back();
    for (const std::string& field : curve.lines[i]) shown.back().push_back(shortened(field));
  }
  std::string text;
  for (const auto& line : shown) {
    for (size_t column = 0; column < line.size(); ++column) {
      size_t width = 0;
      for (const auto& other : shown) width = std::max(width, other[column].size());
      text += fmt::format("  {:>{}}", line[column], width);
    }
    text += "\n";
  }
  return text;
}

}  // namespace bitloop::cli
