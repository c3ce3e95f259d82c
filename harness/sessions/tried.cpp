#include "harness/sessions/tried.h"

#include <fmt/format.h>

#include <ranges>

namespace bitloop::sessions {
namespace {

std::string score_words(const Tried& tried) {
  return tried.val_loss ? fmt::format("val_loss {:.4f}", *tried.val_loss)
                        : "it ended as " + tried.status;
}

// "test #3 of session brave-otter-1f3a (val_loss 1.2345) on the same task"
std::string name_of(const TriedTests::Found& found) {
  return found.elsewhere ? fmt::format("test #{} of session {} ({}) on the same task",
                                       found.test.test, found.test.session, score_words(found.test))
                         : fmt::format("test #{} ({})", found.test.test, score_words(found.test));
}

}  // namespace

void TriedTests::add(const SessionState& session, const TestRecord& test) {
  if (is_of_command_line(session.type) || test.running() || test.status == kInfrastructure ||
      test.status == "cancelled")
    return;
  const Age age{session.created, session.id, test.number};
  const Tried tried{session.id, test.number, test.status, test.row.val_loss};
  const std::lock_guard guard(mutex_);
  Group& group = groups_[{session.task, session.token}];
  // Without a digest: a candidate that could not be read.
  if (!test.digest.exact.empty()) {
    group.exact[test.digest.exact].insert_or_assign(age, tried);
    group.meaning[test.digest.meaning].insert_or_assign(age, tried);
  }
  if (!test.behaviour.empty()) group.behaviour[test.behaviour].insert_or_assign(age, tried);
}

const TriedTests::Group* TriedTests::group_of(const SessionState& session) const {
  const auto found = groups_.find({session.task, session.token});
  return found == groups_.end() ? nullptr : &found->second;
}

std::optional<TriedTests::Found> TriedTests::newest(const std::map<std::string, Tests>& index,
                                                    const std::string& digest,
                                                    const std::string& session, bool elsewhere) {
  const auto tests = index.find(digest);
  if (tests == index.end()) return {};
  for (const auto& [age, tried] : tests->second | std::views::reverse)
    if ((tried.session != session) == elsewhere) return Found{tried, false, elsewhere};
  return {};
}

std::optional<TriedTests::Found> TriedTests::find(const SessionState& session,
                                                  const Digest& candidate) const {
  const std::lock_guard guard(mutex_);
  const Group* group = group_of(session);
  if (group == nullptr) return {};
  for (const bool elsewhere : {false, true}) {
    if (auto found = newest(group->exact, candidate.exact, session.id, elsewhere)) {
      found->exact = true;
      return found;
    }
    if (auto found = newest(group->meaning, candidate.meaning, session.id, elsewhere)) return found;
  }
  return {};
}

std::optional<TriedTests::Found> TriedTests::find_behaviour(const SessionState& session,
                                                            const std::string& behaviour) const {
  if (behaviour.empty()) return {};
  const std::lock_guard guard(mutex_);
  const Group* group = group_of(session);
  if (group == nullptr) return {};
  auto found = newest(group->behaviour, behaviour, session.id, false);
  return found ? found : newest(group->behaviour, behaviour, session.id, true);
}

std::vector<std::string> warnings_of(std::string_view before, std::string_view after,
                                     const SessionState& session, const TriedTests& tests) {
  std::vector<std::string> warnings;
  const Digest old = digest_of(before);
  const Digest candidate = digest_of(after);
  if (old.exact == candidate.exact)
    warnings.emplace_back("This edit changes nothing: the file is what it was.");
  else if (old.meaning == candidate.meaning)
    warnings.emplace_back(
        "This edit changes comments or white space alone: the candidate does what it did.");
  if (const auto found = tests.find(session, candidate))
    warnings.push_back(fmt::format(
        "{} that of {}: a test of it would tell nothing new.",
        found->exact ? "The candidate is byte by byte" : "But for comments and white space it is",
        name_of(*found)));
  return warnings;
}

std::optional<std::string> behaviour_warning(const std::string& behaviour,
                                             const SessionState& session, const TriedTests& tests) {
  const auto found = tests.find_behaviour(session, behaviour);
  if (!found) return {};
  return fmt::format(
      "The candidate does the same as that of {}, to the last bit on the probe tensors: most "
      "likely "
      "a test of it would tell nothing new.",
      name_of(*found));
}

}  // namespace bitloop::sessions
