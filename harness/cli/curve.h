// A run's curve for a terminal, from its log.tsv.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bitloop::cli {

// "▇▅▃▂▁": the values from the smallest to the largest, at most `width` marks of as many values
// each (their mean). "" for none.
std::string sparkline(const std::vector<double>& values, size_t width);

struct Curve {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> lines;  // of all columns; "-" where not evaluated

  // The numbers of a column, without what is missing; none where there is no such column.
  std::vector<double> values(std::string_view column) const;
};
// Lines that are cut short are left out.
Curve read_curve(std::string_view log_tsv);
// The curve's last `lines` lines as an aligned table, right-aligned, numbers with six digits,
// each line indented by two.
std::string last_lines(const Curve& curve, size_t lines);

}  // namespace bitloop::cli
