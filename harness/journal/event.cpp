#include "harness/journal/event.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"

namespace bitloop::journal {
namespace {

constexpr std::string_view kEventKey = "Bitloop-Event";
constexpr std::string_view kIndent = "  ";

bool is_key(std::string_view key) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (key.empty() || !letter(key[0])) return false;
  return std::ranges::all_of(
      key, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-'; });
}

// "Key: value" taken apart; an empty key when the line is none.
Trailer parse_trailer(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_key(line.substr(0, colon))) return {};
  return {std::string(line.substr(0, colon)), single_line(line.substr(colon + 1))};
}

// git takes a line of "---" for the end of the message and one that begins with a comment sign for
// no line at all.
std::string title(std::string_view sentence) {
  std::string line = single_line(sentence);
  line.erase(0, std::min(line.find_first_not_of("-# "), line.size()));
  // Quoted, so that git log --grep='^Bitloop-…' finds trailers only.
  if (parse_trailer(line).key.starts_with("Bitloop-")) line = fmt::format("'{}'", line);
  return line.empty() ? "(no sentence)" : line;
}

}  // namespace

std::string Commit::trailer(std::string_view key) const {
  const auto found = std::ranges::find(trailers, key, &Trailer::key);
  return found == trailers.end() ? "" : found->value;
}

Result<std::string> render_message(const Event& event) {
  const std::string kind = single_line(event.kind);
  if (kind.empty()) return fail("bad_trailer", "an event of the journal needs a kind");
  std::string message = title(event.sentence) + "\n\n";

  // Every line of the body is indented, blank ones dropped at both ends: nothing in it begins a
  // line.
  std::vector<std::string> body;
  for (const std::string& line : split_lines(event.body)) body.push_back(single_line(line));
  while (!body.empty() && body.back().empty()) body.pop_back();
  const auto first = std::ranges::find_if(body, [](const auto& line) { return !line.empty(); });
  body.erase(body.begin(), first);
  for (const std::string& line : body) {
    if (!line.empty()) message += fmt::format("{}{}", kIndent, line);
    message += '\n';
  }
  if (!body.empty()) message += '\n';

  message += fmt::format("{}: {}\n", kEventKey, kind);
  for (const Trailer& trailer : event.trailers) {
    if (!is_key(trailer.key) || trailer.key == kEventKey)
      return fail("bad_trailer", fmt::format("'{}' cannot be a trailer of an event: use letters, "
                                             "digits and hyphens, and leave {} out",
                                             single_line(trailer.key), kEventKey));
    const std::string value = single_line(trailer.value);
    if (!value.empty()) message += fmt::format("{}: {}\n", trailer.key, value);
  }
  return message;
}

Commit parse_message(std::string_view message) {
  Commit commit;
  std::vector<std::string> lines = split_lines(message);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (lines.empty()) return commit;

  // The last paragraph holds the trailers if each of its lines is one.
  size_t start = lines.size();
  while (start > 0 && !lines[start - 1].empty()) --start;
  std::vector<Trailer> trailers;
  for (size_t i = start; i < lines.size(); ++i) trailers.push_back(parse_trailer(lines[i]));
  const bool are_trailers =
      start > 0 && std::ranges::none_of(trailers, [](const auto& t) { return t.key.empty(); });
  if (are_trailers) {
    lines.resize(start);
    commit.trailers = std::move(trailers);
    commit.kind = commit.trailer(kEventKey);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (lines.empty()) return commit;
  commit.sentence = lines[0];
  lines.erase(lines.begin());
  if (!lines.empty() && lines[0].empty()) lines.erase(lines.begin());
  for (std::string& line : lines)
    if (line.starts_with(kIndent)) line.erase(0, kIndent.size());
  commit.body = join(lines, "\n");
  return commit;
}

}  // namespace bitloop::journal
