// The four edits, as functions from a document to a new one, and the sentence each of them answers
// with. A failed edit returns an error and, there being no state, changes nothing.
//
// Common to all: one trailing newline of `content` is ignored (so "\n" is one blank line), ""
// deletes, CRLF becomes LF; text with BEGIN or END marker lines is refused, and so is an edit that
// crosses the border of a region. Codes common to all: "edit_out_of_range", "marker_in_content",
// "invalid_text", "content_too_large" (over 256 KiB), "file_too_large" (the file would exceed 1
// MiB). Every message starts with "ERROR: " and is what an agent is shown.
#pragma once

#include "harness/editor/document.h"

namespace bitloop::editor {

struct Edit {
  Document document;    // the file after the edit
  std::string message;  // "OK: Replaced lines 14..26 with 9 line(s) in candidate.lua. Editable
                        // range: 14–22, 28–34."
  std::string region;   // name of the region that was edited
  std::string view;     // view_region() of it, after the edit
};

// Replaces lines start_line..end_line (inclusive, within one region). An empty region is replaced
// by its own pair, first..first-1. Also: "invalid_range" when end_line < start_line.
Result<Edit> replace(const Document& document, int64_t start_line, int64_t end_line,
                     std::string_view content);

// Inserts after a line of a region, or after its BEGIN marker. Also: "empty_content".
Result<Edit> insert(const Document& document, int64_t after_line, std::string_view content);

// Replaces the whole content of a region. Also: "unknown_region" (the message lists the names).
Result<Edit> rewrite(const Document& document, std::string_view region, std::string_view content);

// Replaces the one place in the editable regions where old_str stands; it may span lines but not
// regions. The text is taken literally, newlines included. Also: "empty_content" (old_str is ""),
// "text_not_found", "text_not_unique" (overlapping places count). Where old_str stands in protected
// lines only, the code is "edit_out_of_range".
Result<Edit> str_replace(const Document& document, std::string_view old_str,
                         std::string_view new_str);

// Sentences for operations that live above the editor (the journal holds the earlier candidates).
// "OK: Undid 2 edit(s) in candidate.lua. Editable range: 14–22, 28–34."
std::string undo_message(const Document& document, int64_t edits);
// "OK: Reverted candidate.lua to test #2. Editable range: 14–22, 28–34."; target is "test #2" or
// "commit 1a2b3c4d5e6f".
std::string revert_message(const Document& document, std::string_view target);

}  // namespace bitloop::editor
