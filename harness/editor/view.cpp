#include "harness/editor/view.h"

#include <fmt/format.h>

#include <algorithm>

namespace bitloop::editor {
namespace {

constexpr int64_t kContextLines = 3;

std::string render(const Document& document, int64_t first, int64_t last) {
  std::string text = view_header(document) + "\n";
  for (int64_t line = first; line <= last; ++line) {
    const char* gap = document.region_at(line) ? "  " : "| ";
    text += fmt::format("{:6}{}{}\n", line, gap, document.lines()[static_cast<size_t>(line) - 1]);
  }
  return text;
}

}  // namespace

std::string view_header(const Document& document) {
  return fmt::format("[Current file: {} | editable: {} | total: {} lines]", document.path(),
                     document.editable_text(), document.line_count());
}

Result<std::string> view(const Document& document, std::optional<int64_t> start_line,
                         std::optional<int64_t> end_line) {
  const int64_t total = document.line_count();
  const int64_t first = start_line.value_or(1);
  const int64_t last = end_line.value_or(std::max(total, first));
  if (first < 1 || last < first)
    return fail("invalid_range", fmt::format("ERROR: Lines {}..{} are not a range; lines count "
                                             "from 1 and start_line comes before end_line.",
                                             first, last));
  if (first > std::max<int64_t>(total, 1))
    return fail("invalid_range",
                fmt::format("ERROR: Line {} lies behind the end of {}, which has {} lines.", first,
                            document.path(), total));
  return render(document, first, std::min(last, total));
}

std::string view_region(const Document& document, size_t index) {
  const Region& region = document.regions()[index];
  return render(document, std::max<int64_t>(1, region.first() - kContextLines),
                std::min(document.line_count(), region.last() + kContextLines));
}

}  // namespace bitloop::editor
