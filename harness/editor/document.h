// A Lua file as a value: its lines and the regions of it that may be edited. No I/O, no history
// (the journal has that).
//
// A region is what lies between a line `-- BEGIN EDITABLE name` and the next `-- END EDITABLE`.
// Lines count from 1; the two marker lines belong to no region. A region is anchored to its
// markers, so it grows and shrinks with its content and may become empty. Line ends are normalised:
// CRLF becomes LF, and the last line always ends with LF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::editor {

constexpr size_t kMaxFileBytes = size_t{1} << 20;       // a whole file
constexpr size_t kMaxContentBytes = size_t{256} << 10;  // the content of one edit

struct Region {
  std::string name;
  int64_t begin_line = 0;  // the BEGIN marker
  int64_t end_line = 0;    // the END marker

  int64_t first() const { return begin_line + 1; }
  int64_t last() const { return end_line - 1; }  // first() - 1 when the region is empty
  int64_t size() const { return last() - first() + 1; }
  bool empty() const { return size() == 0; }
};

class Document {
 public:
  // Takes a file apart. Errors: "file_too_large", "invalid_text" (not UTF-8, NUL or other control
  // characters than tab and newline), "bad_markers" (nested, unclosed, unnamed or doubly named
  // regions; the message names the line).
  static Result<Document> parse(std::string_view text, std::string path = "candidate.lua");
  // A file that is shown but never edited: markers in it mean nothing and editable() is empty. Same
  // errors but the last.
  static Result<Document> read_only(std::string_view text, std::string path);

  const std::string& path() const { return path_; }  // as it stands in sentences: "candidate.lua"
  const std::vector<std::string>& lines() const { return lines_; }
  int64_t line_count() const { return static_cast<int64_t>(lines_.size()); }
  const std::vector<Region>& regions() const { return regions_; }  // in the order of the file
  const Region* find_region(std::string_view name) const;          // nullptr when there is none
  // The region that holds `line`, or nullptr for protected lines, markers and lines outside the
  // file.
  const Region* region_at(int64_t line) const;

  // The file's bytes: every line with its newline.
  std::string text() const;
  // The API's `editable`: [first, last] of each region; an empty region is [first, first - 1].
  std::vector<std::pair<int64_t, int64_t>> editable() const;
  // The same in words: "14–26, 32–38" (U+2013). An empty region reads "14–13 (empty: insert after
  // line 13)"; without any region, "none".
  std::string editable_text() const;

  // A document equal to this one but for the lines of region `index`. Requires: index <
  // regions().size(), no line holds a newline. Errors: "marker_in_content", "file_too_large".
  Result<Document> with_region(size_t index, std::vector<std::string> region_lines) const;

 private:
  std::string path_;
  std::vector<std::string> lines_;
  std::vector<Region> regions_;
};

// Checks text that came from outside and turns CRLF into LF. `what` names it in the message
// ("content"). Errors: "invalid_text"; "content_too_large" when longer than `max_bytes`.
Result<std::string> clean_text(std::string_view text, std::string_view what, size_t max_bytes);

// True for `-- BEGIN EDITABLE …` and `-- END EDITABLE …`, whatever the spaces around and between
// the words.
bool is_marker_line(std::string_view line);

}  // namespace bitloop::editor
