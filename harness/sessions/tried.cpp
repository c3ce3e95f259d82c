#include "harness/sessions/tried.h"

#include <fmt/format.h>

#include <ranges>

#include "harness/base/sha256.h"
#include "harness/editor/lua_text.h"

namespace bitloop::sessions {
namespace {

std::string sha256_of(std::string_view text) {
  Sha256 sha;
  sha.add(text);
  return sha.finish();
}

std::string score_words(const Tried& tried) {
  return tried.val_loss ? fmt::format("val_loss {:.4f}", *tried.val_loss)
                        : "it ended as " + tried.status;
}

// The newest of `tests` with this candidate, and whether byte by byte; exact ones come first.
std::optional<std::pair<const Tried*, bool>> find(const std::vector<Tried>& tests,
                                                  const Digest& candidate, Digests& known) {
  std::optional<std::pair<const Tried*, bool>> found;
  for (const Tried& tried : tests | std::views::reverse) {
    const auto digest = known.of(tried.commit);
    if (!digest) continue;
    if (digest->exact == candidate.exact) return std::pair(&tried, true);
    if (!found && digest->meaning == candidate.meaning) found = std::pair(&tried, false);
  }
  return found;
}

}  // namespace

Digest digest_of(std::string_view candidate) {
  return {sha256_of(candidate), sha256_of(editor::lua_tokens(candidate))};
}

Result<Digest> Digests::of(const std::string& commit) {
  {
    const std::lock_guard guard(mutex_);
    if (const auto found = known_.find(commit); found != known_.end()) return found->second;
  }
  BITLOOP_ASSIGN(candidate, read_(commit));
  Digest digest = digest_of(candidate);
  const std::lock_guard guard(mutex_);
  return known_.emplace(commit, std::move(digest)).first->second;
}

std::vector<Tried> tried_in(const SessionState& state) {
  std::vector<Tried> list;
  for (const TestRecord& test : state.tests)
    if (!test.running() && test.status != kInfrastructure && test.status != "cancelled")
      list.push_back(
          {state.id, test.number, test.commit, test.status, test.row.val_loss, test.behaviour});
  return list;
}

std::vector<std::string> warnings_of(std::string_view before, std::string_view after,
                                     const std::vector<Tried>& here,
                                     const std::vector<Tried>& elsewhere, Digests& known) {
  std::vector<std::string> warnings;
  const Digest old = digest_of(before);
  const Digest candidate = digest_of(after);
  if (old.exact == candidate.exact)
    warnings.emplace_back("This edit changes nothing: the file is what it was.");
  else if (old.meaning == candidate.meaning)
    warnings.emplace_back(
        "This edit changes comments or white space alone: the candidate does what it did.");
  const auto same = [](bool exact) {
    return exact ? "The candidate is byte by byte" : "But for comments and white space it is";
  };
  if (const auto found = find(here, candidate, known))
    warnings.push_back(fmt::format("{} that of test #{} ({}): a test of it would tell nothing new.",
                                   same(found->second), found->first->test,
                                   score_words(*found->first)));
  else if (const auto other = find(elsewhere, candidate, known))
    warnings.push_back(
        fmt::format("{} that of test #{} of session {} ({}) on the same task: a "
                    "test of it would tell nothing new.",
                    same(other->second), other->first->test, other->first->session,
                    score_words(*other->first)));
  return warnings;
}

std::optional<std::string> behaviour_warning(const std::string& behaviour,
                                             const std::vector<Tried>& here,
                                             const std::vector<Tried>& elsewhere) {
  if (behaviour.empty()) return {};
  for (const std::vector<Tried>* tests : {&here, &elsewhere}) {
    for (const Tried& tried : *tests | std::views::reverse) {
      if (tried.behaviour != behaviour) continue;
      return fmt::format(
          "The candidate does the same as that of test #{}{} ({}) on the probe tensors, to the "
          "last "
          "bit: most likely a test of it would tell nothing new.",
          tried.test,
          tests == &here ? "" : fmt::format(" of session {} on the same task", tried.session),
          score_words(tried));
    }
  }
  return {};
}

}  // namespace bitloop::sessions
