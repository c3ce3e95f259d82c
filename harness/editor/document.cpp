#include "harness/editor/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "harness/base/text.h"

namespace bitloop::editor {
namespace {

struct Marker {
  bool begin = false;
  std::string_view name;  // the rest of the line, trimmed
};

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Takes `word` and the blanks behind it from the front of `text`.
bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  const std::string_view rest = text.substr(word.size());
  if (!rest.empty() && rest[0] != ' ' && rest[0] != '\t') return false;
  text = trim(rest);
  return true;
}

std::optional<Marker> parse_marker(std::string_view line) {
  line = trim(line);
  if (!line.starts_with("--")) return std::nullopt;
  line = trim(line.substr(std::min(line.find_first_not_of('-'), line.size())));
  Marker marker;
  marker.begin = line.starts_with("BEGIN");
  if (!take_word(line, marker.begin ? "BEGIN" : "END")) return std::nullopt;
  if (!take_word(line, "EDITABLE")) return std::nullopt;
  marker.name = line;
  return marker;
}

Result<std::vector<Region>> find_regions(const std::vector<std::string>& lines,
                                         std::string_view path) {
  std::vector<Region> regions;
  bool open = false;
  auto bad = [&](int64_t line, std::string_view what) {
    return fail("bad_markers", fmt::format("ERROR: {}:{}: {}", path, line, what));
  };
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto number = static_cast<int64_t>(i) + 1;
    const std::optional<Marker> marker = parse_marker(lines[i]);
    if (!marker) continue;
    if (!marker->begin) {
      if (!open) return bad(number, "END EDITABLE without a BEGIN EDITABLE before it.");
      regions.back().end_line = number;
      open = false;
      continue;
    }
    if (open) return bad(number, "BEGIN EDITABLE inside a region; close it with -- END EDITABLE.");
    if (marker->name.empty()) return bad(number, "BEGIN EDITABLE needs a name for its region.");
    for (const Region& region : regions)
      if (region.name == marker->name) return bad(number, "two regions have the same name.");
    regions.push_back({.name = std::string(marker->name), .begin_line = number});
    open = true;
  }
  if (open)
    return bad(regions.back().begin_line, "BEGIN EDITABLE without an END EDITABLE after it.");
  return regions;
}

}  // namespace

Result<std::string> clean_text(std::string_view text, std::string_view what, size_t max_bytes) {
  if (text.size() > max_bytes)
    return fail("content_too_large", fmt::format("ERROR: {} has {} bytes; at most {} are taken.",
                                                 what, text.size(), max_bytes));
  if (!is_valid_utf8(text))
    return fail("invalid_text", fmt::format("ERROR: {} is not valid UTF-8; send text.", what));
  std::string clean;
  clean.reserve(text.size());
  int64_t line = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    // 0xc2 0x80..0x9f are the control characters U+0080..U+009F.
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xa0;
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || c1)
      return fail("invalid_text",
                  fmt::format("ERROR: {} has the control character U+{:04X} in its line {}; only "
                              "tabs and newlines are allowed.",
                              what, c1 ? static_cast<uint8_t>(text[i + 1]) : byte, line));
    if (byte == '\n') ++line;
    clean += text[i];
  }
  return clean;
}

bool is_marker_line(std::string_view line) { return parse_marker(line).has_value(); }

Result<Document> Document::read_only(std::string_view text, std::string path) {
  auto clean = clean_text(text, path, kMaxFileBytes);
  if (!clean) {
    const bool large = clean.error().code == "content_too_large";
    return fail(large ? "file_too_large" : clean.error().code, clean.error().message);
  }
  Document document;
  document.path_ = std::move(path);
  document.lines_ = split_lines(*clean);
  return document;
}

Result<Document> Document::parse(std::string_view text, std::string path) {
  BITLOOP_ASSIGN(document, read_only(text, std::move(path)));
  BITLOOP_ASSIGN(regions, find_regions(document.lines_, document.path_));
  document.regions_ = std::move(regions);
  return document;
}

const Region* Document::find_region(std::string_view name) const {
  const auto found = std::ranges::find(regions_, name, &Region::name);
  return found == regions_.end() ? nullptr : &*found;
}

const Region* Document::region_at(int64_t line) const {
  const auto found = std::ranges::find_if(regions_, [&](const Region& region) {
    return region.first() <= line && line <= region.last();
  });
  return found == regions_.end() ? nullptr : &*found;
}

std::string Document::text() const {
  std::string text;
  for (const std::string& line : lines_) {
    text += line;
    text += '\n';
  }
  return text;
}

std::vector<std::pair<int64_t, int64_t>> Document::editable() const {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const Region& region : regions_) ranges.emplace_back(region.first(), region.last());
  return ranges;
}

std::string Document::editable_text() const {
  if (regions_.empty()) return "none";
  std::vector<std::string> ranges;
  for (const Region& region : regions_) {
    std::string range = fmt::format("{}\u2013{}", region.first(), region.last());
    if (region.empty()) range += fmt::format(" (empty: insert after line {})", region.begin_line);
    ranges.push_back(std::move(range));
  }
  return join(ranges, ", ");
}

Result<Document> Document::with_region(size_t index, std::vector<std::string> region_lines) const {
  const Region& old = regions_[index];
  for (const std::string& line : region_lines)
    if (is_marker_line(line))
      return fail("marker_in_content",
                  fmt::format("ERROR: The edit would put the marker line '{}' into the region; "
                              "regions are fixed: leave BEGIN and END EDITABLE lines out.",
                              single_line(line)));
  Document document;
  document.path_ = path_;
  document.lines_.reserve(lines_.size() - static_cast<size_t>(old.size()) + region_lines.size());
  const int64_t growth = static_cast<int64_t>(region_lines.size()) - old.size();
  document.lines_.assign(lines_.begin(), lines_.begin() + old.begin_line);
  std::ranges::move(region_lines, std::back_inserter(document.lines_));
  document.lines_.insert(document.lines_.end(), lines_.begin() + old.last(), lines_.end());
  document.regions_ = regions_;
  for (size_t i = index; i < regions_.size(); ++i) {
    if (i > index) document.regions_[i].begin_line += growth;
    document.regions_[i].end_line += growth;
  }
  size_t bytes = 0;
  for (const std::string& line : document.lines_) bytes += line.size() + 1;
  if (bytes > kMaxFileBytes)
    return fail("file_too_large", fmt::format("ERROR: {} would have {} bytes; at most {} are "
                                              "taken. Make the edit smaller.",
                                              path_, bytes, kMaxFileBytes));
  return document;
}

}  // namespace bitloop::editor
