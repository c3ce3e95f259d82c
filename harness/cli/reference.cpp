#include "harness/cli/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/editor/document.h"
#include "harness/journal/diff.h"
#include "harness/sessions/records.h"

namespace bitloop::cli {
namespace {

constexpr size_t kShortCommit = 7;

// 0 unless `text` is a whole number from 1.
int64_t test_number(std::string_view text) {
  int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  return code == std::errc() && end == text.data() + text.size() && number > 0 ? number : 0;
}

Result<NamedText> read_lua(const std::filesystem::path& path) {
  BITLOOP_ASSIGN(file, open_regular(path));
  BITLOOP_ASSIGN(text, read_all(file.get(), editor::kMaxFileBytes));
  // Checked as a candidate is: what is printed can't steer a terminal.
  BITLOOP_ASSIGN(document, editor::Document::read_only(text, path.filename().string()));
  return NamedText{single_line(path.string()), document.text()};
}

bool looks_like_commit(std::string_view text) {
  return text.size() >= 4 && text.size() <= 40 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

Result<NamedText> text_of_commit(const journal::Journal& journal, const std::string& commit,
                                 const std::string& prefix) {
  BITLOOP_ASSIGN(snapshot, journal.read(commit));
  const std::string shown = commit.substr(0, kShortCommit);
  return NamedText{prefix.empty() ? shown : fmt::format("{} ({})", prefix, shown),
                   std::move(snapshot.candidate)};
}

Result<NamedText> text_of_reference(const journal::Journal& journal, const Reference& reference) {
  BITLOOP_ASSIGN(session, sessions::read_session(journal, reference.session));
  if (reference.test == 0) return text_of_commit(journal, session.head, reference.session);
  BITLOOP_ASSIGN(test, session.state.find_test(reference.test));
  if (test->commit.empty())
    return fail("unknown_commit",
                fmt::format("test #{} of {} has no commit yet", reference.test, reference.session));
  return text_of_commit(journal, test->commit,
                        fmt::format("{}/{}", reference.session, reference.test));
}

}  // namespace

Result<Reference> find_reference(const journal::Journal& journal, std::string_view text) {
  const auto known = [&](std::string_view session) { return journal.head(session).has_value(); };
  if (known(text)) return Reference{std::string(text), 0};
  for (const char separator : {'/', '-'}) {
    const size_t at = text.rfind(separator);
    if (at == std::string_view::npos) continue;
    const int64_t test = test_number(text.substr(at + 1));
    if (test > 0 && known(text.substr(0, at)))
      return Reference{std::string(text.substr(0, at)), test};
  }
  return fail("unknown_session",
              fmt::format("the journal has no session or test '{}' (write SESSION or SESSION/TEST; "
                          "bitloop results lists them)",
                          single_line(text.substr(0, 100))));
}

Result<NamedText> find_text(const std::filesystem::path& workspace, const std::string& name) {
  std::error_code ignored;
  const bool is_file = std::filesystem::is_regular_file(name, ignored);
  if (is_file && name.ends_with(".lua")) return read_lua(name);
  if (std::filesystem::exists(workspace / "journal.git", ignored)) {
    BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
    if (const auto reference = find_reference(*journal, name))
      return text_of_reference(*journal, *reference);
    if (looks_like_commit(name)) {
      const auto commit = journal->find(name);
      if (commit) return text_of_commit(*journal, commit->id, "");
      if (commit.error().code != "unknown_commit") return std::unexpected(commit.error());
    }
  }
  if (is_file || name.ends_with(".lua")) return read_lua(name);
  return fail("unknown_commit", fmt::format("'{}' is no file, and no session, test or commit of {}",
                                            single_line(name.substr(0, 100)), workspace.string()));
}

Result<std::string> named_diff(const NamedText& before, const NamedText& after) {
  BITLOOP_ASSIGN(diff, journal::unified_diff(before.text, after.text, "candidate.lua"));
  if (diff.empty()) return diff;
  // Its first two lines name the same path twice.
  const size_t body = diff.find('\n', diff.find('\n') + 1) + 1;
  return fmt::format("--- {}\n+++ {}\n{}", before.name, after.name, diff.substr(body));
}

}  // namespace bitloop::cli
