#include "harness/editor/edits.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "harness/base/text.h"
#include "harness/editor/view.h"

namespace bitloop::editor {
namespace {

std::unexpected<Error> out_of_range(const Document& document, int64_t first, int64_t last) {
  if (document.regions().empty())
    return fail("edit_out_of_range",
                fmt::format("ERROR: Lines {}..{} exceed the editable range. {} may not be edited.",
                            first, last, document.path()));
  return fail("edit_out_of_range",
              fmt::format("ERROR: Lines {}..{} exceed the editable range. You may only edit lines "
                          "{}.",
                          first, last, document.editable_text()));
}

// The content of an edit as lines: one trailing newline is ignored, "" has none.
Result<std::vector<std::string>> content_lines(std::string_view content) {
  BITLOOP_ASSIGN(clean, clean_text(content, "content", kMaxContentBytes));
  return split_lines(clean);
}

std::span<const std::string> region_lines(const Document& document, const Region& region) {
  return std::span(document.lines())
      .subspan(static_cast<size_t>(region.begin_line), static_cast<size_t>(region.size()));
}

std::string replaced_sentence(const Document& after, int64_t first, int64_t last, int64_t count) {
  return fmt::format("OK: Replaced lines {}..{} with {} line(s) in {}. Editable range: {}.", first,
                     last, count, after.path(), after.editable_text());
}

// The edit that puts `content` in the place of lines first..last of region `index`; last = first -
// 1 only inserts.
Result<Document> splice(const Document& document, size_t index, int64_t first, int64_t last,
                        const std::vector<std::string>& content) {
  const Region& region = document.regions()[index];
  const auto old = region_lines(document, region);
  const auto before = static_cast<size_t>(first - region.first());
  const auto after = static_cast<size_t>(last - region.first() + 1);
  std::vector<std::string> lines(old.begin(), old.begin() + static_cast<ptrdiff_t>(before));
  lines.insert(lines.end(), content.begin(), content.end());
  lines.insert(lines.end(), old.begin() + static_cast<ptrdiff_t>(after), old.end());
  return document.with_region(index, std::move(lines));
}

Edit finish(Document after, size_t index, std::string message) {
  Edit edit{.document = std::move(after), .message = std::move(message), .region = {}, .view = {}};
  edit.region = edit.document.regions()[index].name;
  edit.view = view_region(edit.document, index);
  return edit;
}

size_t index_of(const Document& document, const Region* region) {
  return static_cast<size_t>(region - document.regions().data());
}

// Overlapping places count: with two of them it is not clear which is meant.
std::vector<size_t> find_places(std::string_view text, std::string_view wanted) {
  std::vector<size_t> places;
  for (size_t at = text.find(wanted); at != std::string_view::npos; at = text.find(wanted, at + 1))
    places.push_back(at);
  return places;
}

int64_t count_newlines(std::string_view text) { return std::ranges::count(text, '\n'); }

// Why old_str was not found once in the regions.
std::unexpected<Error> not_one_place(const Document& document, std::string_view old_str,
                                     size_t places) {
  if (places > 1)
    return fail("text_not_unique",
                fmt::format("ERROR: old_str occurs {} times in the editable range of {}; it must "
                            "occur exactly once. Add lines around it until it is unique.",
                            places, document.path()));
  const std::string text = document.text();
  if (const size_t at = text.find(old_str); at != std::string::npos) {
    const int64_t first = count_newlines(std::string_view(text).substr(0, at)) + 1;
    const int64_t inner = count_newlines(old_str.substr(0, old_str.size() - 1));
    return out_of_range(document, first, first + inner);
  }
  return fail(
      "text_not_found",
      fmt::format("ERROR: old_str occurs 0 times in the editable range of {}; it must occur "
                  "exactly once. View the file and copy the text with its spaces.",
                  document.path()));
}

}  // namespace

Result<Edit> replace(const Document& document, int64_t start_line, int64_t end_line,
                     std::string_view content) {
  BITLOOP_ASSIGN(lines, content_lines(content));
  const Region* region = document.region_at(start_line);
  if (!region)  // an empty region is named by its pair, first..first-1
    for (const Region& candidate : document.regions())
      if (candidate.empty() && start_line == candidate.first() && end_line == candidate.last())
        region = &candidate;
  const bool names_empty_region = region && region->empty();
  if (end_line < start_line && !names_empty_region)
    return fail("invalid_range", fmt::format("ERROR: Lines {}..{} are not a range; start_line must "
                                             "not be greater than end_line.",
                                             start_line, end_line));
  if (!region || end_line > region->last()) return out_of_range(document, start_line, end_line);
  const size_t index = index_of(document, region);
  BITLOOP_ASSIGN(after, splice(document, index, start_line, end_line, lines));
  std::string message =
      replaced_sentence(after, start_line, end_line, static_cast<int64_t>(lines.size()));
  return finish(std::move(after), index, std::move(message));
}

Result<Edit> insert(const Document& document, int64_t after_line, std::string_view content) {
  BITLOOP_ASSIGN(lines, content_lines(content));
  if (lines.empty())
    return fail("empty_content",
                "ERROR: content is empty; give the lines to insert. To delete lines, replace them "
                "with \"\".");
  const Region* region = document.region_at(after_line);
  for (const Region& candidate : document.regions())
    if (candidate.begin_line == after_line) region = &candidate;
  if (!region) return out_of_range(document, after_line, after_line);
  const size_t index = index_of(document, region);
  BITLOOP_ASSIGN(after, splice(document, index, after_line + 1, after_line, lines));
  std::string message =
      fmt::format("OK: Inserted {} line(s) after line {} in {}. Editable range: {}.", lines.size(),
                  after_line, after.path(), after.editable_text());
  return finish(std::move(after), index, std::move(message));
}

Result<Edit> rewrite(const Document& document, std::string_view region, std::string_view content) {
  const Region* found = document.find_region(region);
  if (!found) {
    std::vector<std::string> names;
    for (const Region& known : document.regions()) names.push_back(known.name);
    return fail("unknown_region", fmt::format("ERROR: {} has no region '{}'. Its regions: {}.",
                                              document.path(), single_line(region.substr(0, 100)),
                                              names.empty() ? "none" : join(names, ", ")));
  }
  BITLOOP_ASSIGN(lines, content_lines(content));
  const size_t index = index_of(document, found);
  const auto count = static_cast<int64_t>(lines.size());
  BITLOOP_ASSIGN(after, document.with_region(index, std::move(lines)));
  std::string message = replaced_sentence(after, found->first(), found->last(), count);
  return finish(std::move(after), index, std::move(message));
}

Result<Edit> str_replace(const Document& document, std::string_view old_str,
                         std::string_view new_str) {
  BITLOOP_ASSIGN(wanted, clean_text(old_str, "old_str", kMaxContentBytes));
  BITLOOP_ASSIGN(put, clean_text(new_str, "new_str", kMaxContentBytes));
  if (wanted.empty())
    return fail("empty_content", "ERROR: old_str is empty; give the text to replace.");

  size_t places = 0, index = 0, at = 0;
  std::string text;  // of the region with the place, every line with its newline
  for (size_t i = 0; i < document.regions().size(); ++i) {
    std::string candidate;
    for (const std::string& line : region_lines(document, document.regions()[i]))
      candidate += line + "\n";
    const std::vector<size_t> found = find_places(candidate, wanted);
    places += found.size();
    if (found.empty()) continue;
    index = i;
    at = found.front();
    text = std::move(candidate);
  }
  if (places != 1) return not_one_place(document, wanted, places);

  const Region& region = document.regions()[index];
  const int64_t first = region.first() + count_newlines(std::string_view(text).substr(0, at));
  // The newline that ends old_str belongs to the line before it …
  int64_t last = first + count_newlines(std::string_view(wanted).substr(0, wanted.size() - 1));
  text.replace(at, wanted.size(), put);
  // … but where it goes without another in its place, the next line is joined and changes too.
  const size_t end = at + put.size();
  if (wanted.back() == '\n' && end > 0 && end < text.size() && text[end - 1] != '\n') ++last;
  std::vector<std::string> lines = split_lines(text);
  const int64_t count = static_cast<int64_t>(lines.size()) - region.size() + (last - first + 1);
  BITLOOP_ASSIGN(after, document.with_region(index, std::move(lines)));
  return finish(std::move(after), index, replaced_sentence(after, first, last, count));
}

std::string undo_message(const Document& document, int64_t edits) {
  return fmt::format("OK: Undid {} edit(s) in {}. Editable range: {}.", edits, document.path(),
                     document.editable_text());
}

std::string revert_message(const Document& document, std::string_view target) {
  return fmt::format("OK: Reverted {} to {}. Editable range: {}.", document.path(), target,
                     document.editable_text());
}

}  // namespace bitloop::editor
