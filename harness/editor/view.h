// How a file is shown to an agent: a header line, then numbered lines; "| " after the number marks
// a protected line.
//
//   [Current file: candidate.lua | editable: 14–26, 32–38 | total: 76 lines]
//       13| -- BEGIN EDITABLE quantizer
//       14  local Q = {
//
// Every line of a view, the last included, ends with a newline.
#pragma once

#include <optional>

#include "harness/editor/document.h"

namespace bitloop::editor {

// "[Current file: candidate.lua | editable: 14–26, 32–38 | total: 76 lines]", without a newline;
// for a read-only file "editable: none".
std::string view_header(const Document& document);

// Header and lines start_line..end_line (inclusive; absent: the first, the last). A range that
// reaches beyond the file is cut to it. Error: "invalid_range" when start_line < 1, end_line <
// start_line, or start_line lies behind the last line.
Result<std::string> view(const Document& document, std::optional<int64_t> start_line = {},
                         std::optional<int64_t> end_line = {});

// Header, the region, and three lines around it (the markers among them). Requires: index <
// regions().size().
std::string view_region(const Document& document, size_t index);

}  // namespace bitloop::editor
